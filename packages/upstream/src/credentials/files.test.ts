import { chmod, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import {
  FakeNode,
  SECRET,
  shown,
  signal,
  temporaryDirectory,
  writePrivate,
  writeProgram
} from '../testing/credential-fixture.ts'
import { DockerConfigSource } from './docker-config.ts'
import { PasswordFileSource } from './password-file.ts'

/*
 * Docker's file: https://docs.docker.com/reference/cli/docker/#configuration-files and
 * https://docs.docker.com/reference/cli/docker/login/#credential-stores; namespaced keys: containers-auth.json(5),
 * https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
 */

async function replace(path: string, content: string): Promise<void> {
  await writePrivate(`${path}.new`, content)
  await rename(`${path}.new`, path)
}

const basic = (user: string, password: string) => ({ auth: Buffer.from(`${user}:${password}`).toString('base64') })
const passwordOf = (username: string, password: string) => ({ kind: 'password', username, password })

async function dockerConfig(config: object | string, node = new FakeNode()) {
  const path = join(await temporaryDirectory(), 'config.json')
  await writePrivate(path, typeof config === 'string' ? config : JSON.stringify(config))
  const source = new DockerConfigSource(path, node)
  const get = async (host: string, repository = 'team/app') =>
    (await source.get(host, repository, signal()))?.credential
  return { path, source, get }
}

it('reads a password file again when it was replaced', async () => {
  const path = join(await temporaryDirectory(), 'password')
  await writePrivate(path, 'one\n')
  const source = new PasswordFileSource({ username: 'robot', passwordFile: path })
  expect(await source.get('ghcr.io')).toEqual({ credential: passwordOf('robot', 'one') })
  await replace(path, 'two')
  expect(await source.get('ghcr.io')).toEqual({ credential: passwordOf('robot', 'two') })
  await rm(path)
  expect(await source.get('ghcr.io')).toEqual({ credential: passwordOf('robot', 'two') })
})

it.each([
  ['that is not there', undefined, 'ENOENT'],
  ['that is empty', '\n', 'is empty'],
  ['of two lines', `${SECRET}\nmore`, 'more than one line'],
  ['that is too long', 'x'.repeat(1024 * 1024 + 1), 'has 1048577 bytes']
])('refuses a password file %s, without quoting it', async (_, content, message) => {
  const path = join(await temporaryDirectory(), 'password')
  if (content !== undefined) await writePrivate(path, content)
  const error = await new PasswordFileSource({ username: 'u', passwordFile: path }).get('a.example').catch((e) => e)
  expect(error).toMatchObject({ code: 'CREDENTIALS_UNAVAILABLE', registry: 'a.example' })
  expect(error.message).toContain(message)
  expect(shown(error)).not.toContain(SECRET)
})

it('refuses a password file that every user can read', async () => {
  const path = join(await temporaryDirectory(), 'password')
  await writePrivate(path, SECRET)
  await chmod(path, 0o644)
  await expect(new PasswordFileSource({ username: 'u', passwordFile: path }).get('a.example')).rejects.toThrow(
    'chmod o-rwx'
  )
})

it('finds what docker login wrote, under all spellings of a registry', async () => {
  const { get } = await dockerConfig({
    auths: {
      'https://index.docker.io/v1/': basic('hub', 'a:b'),
      'https://ghcr.io': basic('gh', 'p'),
      'Quay.example/v2/': basic('quay', 'p'),
      'registry.example:5000': { username: 'plain', password: 'p' },
      'old.example': { auth: Buffer.from('old:p\0\0\0').toString('base64') },
      'id.example': { ...basic('00000000', ''), identitytoken: 'refresh' },
      'token.example': { registrytoken: 'access' },
      'empty.example': {}
    }
  })
  expect(await get('docker.io')).toEqual(passwordOf('hub', 'a:b'))
  expect(await get('ghcr.io')).toEqual(passwordOf('gh', 'p'))
  expect(await get('quay.example')).toEqual(passwordOf('quay', 'p'))
  expect(await get('registry.example:5000')).toEqual(passwordOf('plain', 'p'))
  expect(await get('registry.example')).toBeUndefined()
  expect(await get('old.example')).toEqual(passwordOf('old', 'p'))
  expect(await get('id.example')).toEqual({ kind: 'identityToken', token: 'refresh' })
  expect(await get('token.example')).toEqual({ kind: 'registryToken', token: 'access' })
  expect(await get('empty.example')).toBeUndefined()
  expect(await get('toString')).toBeUndefined()
})

it('prefers the key of a repository, then of its namespace, then of its registry', async () => {
  const { get } = await dockerConfig({
    auths: {
      'https://quay.example/': basic('url', 'p'),
      'quay.example': basic('registry', 'p'),
      'quay.example/team': basic('team', 'p'),
      'quay.example/team/app': basic('app', 'p')
    }
  })
  expect(await get('quay.example', 'team/app')).toEqual(passwordOf('app', 'p'))
  expect(await get('quay.example', 'team/apple')).toEqual(passwordOf('team', 'p'))
  expect(await get('quay.example', 'teams/app')).toEqual(passwordOf('registry', 'p'))
})

it('does not give what is of a namespace for the whole registry', async () => {
  const { get } = await dockerConfig({ auths: { 'quay.example/team': basic('team', 'p') } })
  expect(await get('quay.example', 'other/app')).toBeUndefined()
})

it('asks the helper of a registry, else that of all, else takes what is in the file', async () => {
  const bin = await temporaryDirectory()
  const answer = (user: string) => `cat > /dev/null; echo '{"ServerURL":"","Username":"${user}","Secret":"s"}'`
  await writeProgram(bin, 'docker-credential-one', answer('one'))
  await writeProgram(bin, 'docker-credential-none', 'echo credentials not found in native keychain; exit 1')
  const node = new FakeNode({ env: { PATH: `${bin}:/usr/bin:/bin` } })
  const config = {
    auths: { 'own.example': basic('file', 'p'), 'a.example': basic('file', 'p'), 'b.example': {} },
    credHelpers: { 'https://own.example': 'one', 'c.example': 'none', 'd.example': '' },
    credsStore: 'none'
  }
  const { get } = await dockerConfig(config, node)
  expect(await get('own.example')).toEqual(passwordOf('one', 's'))
  expect(await get('a.example')).toEqual(passwordOf('file', 'p'))
  expect(await get('b.example')).toBeUndefined()
  expect(await get('c.example')).toBeUndefined()
})

it('reads the configuration again when it was replaced, and goes on with the old one when the new one is broken', async () => {
  const { path, get } = await dockerConfig({ auths: { 'a.example': basic('one', 'p') } })
  expect(await get('a.example')).toEqual(passwordOf('one', 'p'))
  await replace(path, JSON.stringify({ auths: { 'a.example': basic('two', 'p') } }))
  expect(await get('a.example')).toEqual(passwordOf('two', 'p'))
  await replace(path, '{"auths":')
  expect(await get('a.example')).toEqual(passwordOf('two', 'p'))
})

it.each([
  ['no JSON', `{"auths": ${SECRET}}`],
  ['other shapes', JSON.stringify({ auths: { a: { auth: [SECRET] } } })],
  ['a path for a helper', JSON.stringify({ credHelpers: { a: `../${SECRET}` } })]
])('refuses a configuration with %s, without quoting it', async (_, text) => {
  const { get } = await dockerConfig(text)
  const error = await get('a.example').catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: 'CREDENTIALS_UNAVAILABLE' })
  expect(shown(error)).not.toContain(SECRET)
})
