import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { connectForActions, connectForViews } from './admin-place.ts'
import { fakeContext } from './testing/fake-context.ts'
import { type FakeServer, startFakeServer } from './testing/fake-server.ts'

let directory: string
let server: FakeServer
let asked: { method: string | undefined; url: string | undefined; authorization: string | undefined; body: string }[]
beforeEach(async () => {
  asked = []
  directory = await mkdtemp(join(tmpdir(), 'layermesh-admin-place-'))
  server = await startFakeServer(async (request, response) => {
    const { method, url, headers } = request
    asked.push({ method, url, authorization: headers.authorization, body: await text(request) })
    if (headers.authorization === 'Bearer right') response.end('{"done":true}')
    else response.writeHead(401).end('{"error":{"code":"ADMIN_TOKEN_NEEDED","message":"this needs the token"}}')
  })
})
afterEach(async () => {
  await server.close()
  await rm(directory, { recursive: true, force: true })
})

const note = () => writeFile(join(directory, 'node.json'), JSON.stringify({ admin: server.url }))
const token = (value: string) => writeFile(join(directory, 'admin.token'), `${value}\n`)

it('finds address and token in the data directory', async () => {
  await note()
  await token('right')
  const client = await connectForActions({ data: directory }, fakeContext())
  expect(await client.act('POST', 'things', { name: 'a' })).toEqual({ done: true })
  expect(await client.act('GET', 'things', { name: 'a&b', more: undefined })).toEqual({ done: true })
  expect(asked).toEqual([
    { method: 'POST', url: '/api/v1/things', authorization: 'Bearer right', body: '{"name":"a"}' },
    { method: 'GET', url: '/api/v1/things?name=a%26b', authorization: 'Bearer right', body: '' }
  ])
})

it('takes both from elsewhere when told to', async () => {
  const context = fakeContext({ LAYERMESH_ADMIN_TOKEN: 'right' })
  const client = await connectForActions({ data: directory, admin: server.url }, context)
  expect(await client.act('DELETE', 'things', {})).toEqual({ done: true })
})

it('looks for the data where the settings of the environment say', async () => {
  await note()
  await token('right')
  const config = join(directory, 'settings.yaml')
  await writeFile(config, `dataDir: ${directory}\n`)
  for (const environment of [{ LAYERMESH_DATA_DIR: directory }, { LAYERMESH_CONFIG: config }]) {
    const client = await connectForActions({}, fakeContext(environment))
    expect(await client.act('POST', 'things', {})).toEqual({ done: true })
  }
})

it('shows the token of a data directory to the node that runs there, and to no other', async () => {
  await token('right')
  await writeFile(join(directory, 'node.json'), JSON.stringify({ admin: 'http://127.0.0.1:1' }))
  const context = fakeContext({ LAYERMESH_DATA_DIR: directory })
  await expect(connectForActions({ admin: server.url }, context)).rejects.toThrow(/does not run on .*--data DIR/)
  const viewer = await connectForViews({ admin: server.url }, context)
  await expect(viewer.status()).rejects.toThrow(/refused/)
  expect(asked.map(({ authorization }) => authorization)).toEqual([undefined])
  await note()
  expect(await (await connectForViews({ admin: server.url }, context)).status()).toEqual({ done: true })
})

it('looks at a node without any token too', async () => {
  const viewer = await connectForViews({ admin: server.url, data: directory }, fakeContext())
  await expect(viewer.images()).rejects.toThrow(/refused/)
  expect(asked).toMatchObject([{ url: '/api/v1/images', authorization: undefined }])
})

it('says what to do when no node is known, its token can not be read or is another', async () => {
  await expect(connectForActions({ data: directory }, fakeContext())).rejects.toThrow(/no node runs on .*--data DIR/)
  await note()
  await expect(connectForActions({ data: directory }, fakeContext())).rejects.toThrow(/admin\.token.*ENOENT.*--data/)
  await token('wrong')
  const client = await connectForActions({ data: directory }, fakeContext())
  await expect(client.act('POST', 'things', {})).rejects.toThrow(/refused: this needs the token/)
})
