import { createHmac, generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto'
import { removeUser } from '@layermesh/node'
import { peerIdOf } from '@layermesh/trust'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { beforeAll, expect, test } from 'vitest'
import { eventually, request } from '../support/http.ts'
import { useSandbox } from '../support/sandbox.ts'
import { ask } from './support/client.ts'
import { basic, SecuredMesh } from './support/secured-mesh.ts'

const SECRET = '/v2/secret/app/manifests/1'
const SCOPE = 'repository:secret/app:pull,push,delete'

const sandbox = useSandbox()
let mesh: SecuredMesh
/** A token of mallory, who may read nothing that is secret. */
let mallorys: string

type Json = Record<string, unknown>

beforeAll(async () => {
  mesh = await SecuredMesh.start(sandbox)
  mallorys = (await tokenFor('mallory')).token
})

async function tokenFor(user: string, query = `scope=${SCOPE}`): Promise<{ token: string; refresh_token?: string }> {
  const url = `${mesh.seed.node.registryUrl}/auth/token?service=layermesh&${query}`
  const { status, body } = await request(url, { headers: { Authorization: basic(user) } })
  if (status !== 200) throw new Error(`no token: ${status} ${body}`)
  return JSON.parse(body.toString()) as { token: string }
}

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** Header and claims of a real token, with some of them changed. */
function forged(header: Json, claims: Json, token = mallorys): string {
  const [head = '', body = ''] = token.split('.')
  const read = (text: string) => JSON.parse(Buffer.from(text, 'base64url').toString()) as Json
  return `${part({ ...read(head), ...header })}.${part({ ...read(body), ...claims })}`
}

function signed(text: string, key: KeyObject): string {
  return `${text}.${sign(null, Buffer.from(text), key).toString('base64url')}`
}

async function expectRefusedEverywhere(token: string, why: string): Promise<void> {
  for (const { node } of [mesh.seed, mesh.node]) {
    const headers = { Authorization: `Bearer ${token}` }
    const answer = await ask(node, 'GET', SECRET, { headers })
    expect(answer.status, `${why} at the ${node.name}`).toBe(401)
    expect(answer.headers.get('www-authenticate'), why).toContain('error="invalid_token"')
    const renewed = await ask(node, 'GET', `/auth/token?service=layermesh&scope=${SCOPE}`, { headers })
    // A seed lets a node ask it so often only.
    expect(renewed.status, `${why} at the token endpoint of the ${node.name}`).toBeOneOf([401, 429])
  }
}

test('a token of alice is taken, so that the forged ones below have something to miss', async () => {
  const { token } = await tokenFor('alice')
  for (const { node } of [mesh.seed, mesh.node]) {
    expect((await ask(node, 'GET', SECRET, { headers: { Authorization: `Bearer ${token}` } })).status).toBe(200)
    expect((await ask(node, 'GET', SECRET, { headers: { Authorization: `Bearer ${mallorys}` } })).status).toBe(403)
  }
})

// CVE-2015-9235 and its kind: the algorithm was taken from the token.
test('tokens without a signature, or with one by a key that everybody knows, are refused', async () => {
  const alice = { sub: 'alice' }
  for (const alg of ['none', 'None', 'NONE', '']) {
    await expectRefusedEverywhere(`${forged({ alg }, alice)}.`, `alg ${alg}`)
    await expectRefusedEverywhere(`${forged({ alg }, alice)}.${mallorys.split('.')[2]}`, `alg ${alg}`)
  }
  for (const key of [mesh.seed.node.peerId, '', 'layermesh', Buffer.from(mesh.seed.node.peerId, 'utf8')]) {
    const text = forged({ alg: 'HS256' }, alice)
    const mac = createHmac('sha256', key).update(text).digest('base64url')
    await expectRefusedEverywhere(`${text}.${mac}`, 'a MAC under what is public')
  }
})

// CVE-2025-24976 (distribution): the key in the token's own header was believed.
test('a key that the token brings itself is not believed', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const jwk = publicKey.export({ format: 'jwk' })
  const own = peerIdOf(await generateKeyPair('Ed25519'))
  const headers: Json[] = [
    { jwk },
    { jwk, kid: mesh.seed.node.peerId },
    { kid: mesh.seed.node.peerId },
    { kid: '../../../../dev/null' },
    { jku: 'http://127.0.0.1:1/keys' },
    { x5c: ['MIIB'] },
    { x5u: 'http://127.0.0.1:1/cert' },
    { crit: ['exp'] },
    {}
  ]
  for (const header of headers) {
    for (const iss of [mesh.seed.node.peerId, mesh.node.node.peerId, own, '']) {
      await expectRefusedEverywhere(signed(forged(header, { sub: 'alice', iss }), privateKey), JSON.stringify(header))
    }
  }
})

test('a token of a stranger’s own making is refused, however well it is signed', async () => {
  const key = await generateKeyPair('Ed25519')
  const d = Buffer.from(key.raw.subarray(0, 32)).toString('base64url')
  const x = Buffer.from(key.publicKey.raw).toString('base64url')
  const { createPrivateKey } = await import('node:crypto')
  const privateKey = createPrivateKey({ key: { kty: 'OKP', crv: 'Ed25519', d, x }, format: 'jwk' })
  const claims = { iss: peerIdOf(key), jti: randomUUID() }
  for (const { token } of [await tokenFor('bob'), { token: mallorys }]) {
    await expectRefusedEverywhere(signed(forged({}, claims, token), privateKey), 'signed by a peer that nobody trusts')
  }
  const alices = signed(forged({}, { ...claims, sub: 'alice' }), privateKey)
  await expectRefusedEverywhere(alices, 'signed by a peer that nobody trusts')
})

test('a token that was changed after it was signed is refused', async () => {
  const [head = '', body = '', signature = ''] = mallorys.split('.')
  const changes: Json[] = [
    { sub: 'alice' },
    { groups: ['readers'] },
    { exp: 4_102_444_800 },
    { src: { kind: 'anonymous', id: '' } },
    { src: { kind: 'certificate', id: '' } }
  ]
  for (const change of changes) {
    await expectRefusedEverywhere(`${forged({}, change)}.${signature}`, JSON.stringify(change))
  }
  const flipped = Buffer.from(signature, 'base64url')
  flipped.writeUInt8(flipped.readUInt8(0) ^ 1, 0)
  await expectRefusedEverywhere(`${head}.${body}.${flipped.toString('base64url')}`, 'one bit of the signature')
  await expectRefusedEverywhere(`${head}.${body}.`, 'no signature')
  await expectRefusedEverywhere(`${head}.${body}.${'A'.repeat(86)}`, 'a signature of zeros')
})

test('a refresh token opens nothing but the token endpoint, and an access token does not open that', async () => {
  const { token, refresh_token: refresh = '' } = await tokenFor('alice', `scope=${SCOPE}&offline_token=true`)
  expect(refresh).not.toBe('')
  const bearer = (text: string) => ({ headers: { Authorization: `Bearer ${text}` } })
  expect((await ask(mesh.seed.node, 'GET', SECRET, bearer(refresh))).status).toBe(401)
  expect((await ask(mesh.seed.node, 'GET', '/auth/token?service=layermesh', bearer(token))).status).toBe(401)
})

test('a token covers what it was asked for and no more, whoever has it', async () => {
  const { token } = await tokenFor('alice', 'scope=repository:public/app:pull')
  const headers = { Authorization: `Bearer ${token}` }
  const answer = await ask(mesh.seed.node, 'GET', SECRET, { headers })
  expect(answer.status).toBe(401)
  expect(answer.headers.get('www-authenticate')).toContain('error="insufficient_scope"')
  for (const scope of [
    'repository:**:*',
    'repository:secret/app:*:pull',
    'registry:catalog:*',
    'repository:secret%2Fapp:*'
  ]) {
    const odd = await tokenFor('mallory', `scope=${scope}`)
    expect(
      (await ask(mesh.seed.node, 'GET', SECRET, { headers: { Authorization: `Bearer ${odd.token}` } })).status
    ).toBe(403)
  }
})

// CVE-2026-2733 (Keycloak), CVE-2025-23208 (zot): who was disabled went on with the tokens and sessions of before.
test('who is taken out of the password file has no use of password, token or refresh token from then on', async () => {
  const { token, refresh_token: refresh = '' } = await tokenFor('bob', `scope=${SCOPE}&offline_token=true`)
  const ways = [basic('bob'), `Bearer ${token}`]
  for (const { node } of [mesh.seed, mesh.node]) {
    for (const way of ways)
      expect((await ask(node, 'GET', SECRET, { headers: { Authorization: way } })).status).toBe(200)
  }
  await removeUser(mesh.htpasswd, 'bob')
  for (const { node } of [mesh.seed, mesh.node]) {
    await eventually(`the ${node.name} has read the file`, 10_000, async () => {
      const { status } = await ask(node, 'GET', SECRET, { headers: { Authorization: basic('bob') } })
      return status === 401 || undefined
    })
    for (const way of ways) {
      expect((await ask(node, 'GET', SECRET, { headers: { Authorization: way } })).status, node.name).toBe(401)
    }
    const headers = { Authorization: `Bearer ${refresh}` }
    expect((await ask(node, 'GET', '/auth/token?service=layermesh', { headers })).status, node.name).toBe(401)
  }
})
