import { expect, it } from 'vitest'
import { explainUnsafeRealm, safeRealm } from './realm.ts'

const isSafe = async (origin: string, realm: string, realmHosts: readonly string[] = []) =>
  (await safeRealm(realm, { origin: new URL(origin), realmHosts })) !== undefined

it.each([
  ['https://registry-1.docker.io', 'https://auth.docker.io/token'],
  ['https://ghcr.io', 'https://ghcr.io/token'],
  ['https://registry.gitlab.com', 'https://gitlab.com/jwt/auth'],
  ['https://registry.example.co.uk', 'https://auth.example.co.uk/token'],
  ['https://registry.example:5000', 'https://registry.example/token'],
  ['http://127.0.0.1:5000', 'http://127.0.0.1:5001/token'],
  ['http://[::1]:5000', 'http://[::1]:5001/token'],
  ['http://registry:5000', 'http://registry/token'],
  ['http://registry.example', 'https://registry.example/token']
])('has %s ask %s', async (origin, realm) => {
  expect(await isSafe(origin, realm)).toBe(true)
})

it.each([
  ['https://registry.example', 'https://evil.example.org/token'],
  ['https://registry-1.docker.io', 'https://auth.docker.io.evil.org/token'],
  ['https://registry-1.docker.io', 'https://auth-docker.io/token'],
  ['https://registry.example.co.uk', 'https://evil.co.uk/token'],
  ['https://mine.github.io', 'https://evil.github.io/token'],
  ['https://bucket.s3.amazonaws.com', 'https://evil.s3.amazonaws.com/token'],
  ['https://registry.example', 'http://registry.example/token'],
  ['https://registry.example', 'https://registry.example@evil.org/token'],
  ['https://registry.example', 'https://user:secret@registry.example/token'],
  ['https://registry.example', 'file:///etc/passwd'],
  ['https://registry.example', 'https://127.0.0.1/token'],
  ['https://registry.example', 'https://[::1]/token'],
  ['http://10.0.0.1:5000', 'http://10.0.0.2:5000/token'],
  ['http://registry:5000', 'http://other:5000/token'],
  ['http://localhost:5000', 'http://metadata/token'],
  ['https://registry.example', '/token'],
  ['https://registry.example', ''],
  ['https://registry.example', `https://registry.example/${'a'.repeat(3_000)}`]
])('does not have %s ask %s', async (origin, realm) => {
  expect(await isSafe(origin, realm)).toBe(false)
})

it('asks a host that the operator named, by https all the same', async () => {
  expect(await isSafe('https://lscr.io', 'https://ghcr.io/token', ['ghcr.io'])).toBe(true)
  expect(await isSafe('https://lscr.io', 'https://evil.ghcr.io/token', ['ghcr.io'])).toBe(false)
  expect(await isSafe('https://lscr.io', 'http://ghcr.io/token', ['ghcr.io'])).toBe(false)
})

it('tells what to put where for a token service of another owner, and shows nothing of one that can not be asked', () => {
  expect(explainUnsafeRealm('https://auth.other.example/token?x=1', 'registry.example:5000')).toMatch(
    /upstreams: \{ registries: \{ 'registry\.example:5000': \{ realmHosts: \['auth\.other\.example'\] \} \} \}$/
  )
  for (const realm of ['https://user:secret@a.example/', 'secret', `https://a.example/${'secret'.repeat(1_000)}`]) {
    expect(explainUnsafeRealm(realm, 'registry.example')).toBe(
      'registry.example names a token service that can not be asked'
    )
  }
})
