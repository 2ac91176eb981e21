import { digestOf } from '@layermesh/oci'
import { beforeAll, expect, test } from 'vitest'
import { useSandbox } from '../support/sandbox.ts'
import { ask, errorCode, putBlob } from './support/client.ts'
import { RawHttp } from './support/raw-http.ts'
import { Victim } from './support/victim.ts'

const MAX_SESSIONS = 40
const UPLOADS = '/v2/team/app/blobs/uploads/'

const sandbox = useSandbox()
let victim: Victim

beforeAll(async () => {
  const settings = { uploads: { maxSessions: MAX_SESSIONS, idleTimeout: '1h' } }
  victim = await Victim.start(sandbox, { name: 'seed', role: 'seed', settings })
})

const send = (method: string, path: string, body?: string, headers: Record<string, string> = {}) =>
  ask(victim.node, method, path, { headers, ...(body === undefined ? {} : { body }) })

async function startUpload(repository = 'team/app'): Promise<string> {
  const { status, headers } = await send('POST', `/v2/${repository}/blobs/uploads/`)
  expect(status).toBe(202)
  return headers.get('location') ?? ''
}

test('sessions are bounded, and those beyond are refused while pulls go on', async () => {
  const before = await victim.usage()
  const digest = await putBlob(victim.node, 'team/app', Buffer.from('there already'))
  const locations: string[] = []
  let refused = 0
  for (let i = 0; i < MAX_SESSIONS * 5; i++) {
    const answer = await send('POST', `/v2/team/${i % 7}/blobs/uploads/`)
    if (answer.status === 202) locations.push(answer.headers.get('location') ?? '')
    else expect([answer.status, errorCode(answer)]).toEqual([429, 'TOOMANYREQUESTS'])
    if (answer.status === 429) refused++
  }
  expect([locations.length, refused]).toEqual([MAX_SESSIONS, MAX_SESSIONS * 4])
  expect((await send('GET', `/v2/team/app/blobs/${digest}`)).status).toBe(200)
  for (const location of locations) expect((await send('DELETE', location)).status).toBe(204)
  await startUpload().then((location) => send('DELETE', location))
  await victim.expectNoLeak(before)
})

test('bodies that come at one time are bounded, and leave no session behind when their clients go', async () => {
  const clients = await Promise.all(
    Array.from({ length: MAX_SESSIONS * 2 }, () => RawHttp.open(victim.node.registryUrl))
  )
  const digest = digestOf(Buffer.from('never sent'))
  for (const client of clients) {
    client.write(`POST ${UPLOADS}?digest=${digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nsome`)
  }
  const first = await Promise.any(clients.map((client) => client.answer('POST')))
  expect(first?.status).toBe(429)
  for (const client of clients) client.destroy()
  // As many as there may be can be started again.
  await expect
    .poll(async () => {
      const { status, headers } = await send('POST', UPLOADS)
      if (status === 202) await send('DELETE', headers.get('location') ?? '')
      return status
    })
    .toBe(202)
})

test('a session can not be guessed, and is no session of another repository', async () => {
  const location = await startUpload()
  const id = location.split('/').at(-1)?.split('?')[0] ?? ''
  expect(Buffer.from(id, 'base64url').length * 8, 'bits of chance').toBeGreaterThanOrEqual(128)
  for (const repository of ['team/other', 'other', 'docker.io/team/app']) {
    for (const method of ['GET', 'PATCH', 'DELETE']) {
      const answer = await send(method, `/v2/${repository}/blobs/uploads/${id}`, method === 'PATCH' ? 'x' : undefined)
      expect(answer.status, `${method} in ${repository}`).toBe(404)
    }
    const digest = digestOf(Buffer.from('x'))
    expect((await send('PUT', `/v2/${repository}/blobs/uploads/${id}?digest=${digest}`, 'x')).status).toBe(404)
  }
  expect((await send('GET', location)).headers.get('range')).toBe('0-0')
  await send('DELETE', location)
})

test('a chunk at a wrong offset changes nothing', async () => {
  const location = await startUpload()
  const chunk = (range: string, body: string) => send('PATCH', location, body, { 'Content-Range': range })
  expect((await chunk('0-4', 'first')).status).toBe(202)
  for (const [range, body] of [
    ['0-4', 'again'],
    ['3-7', 'ahead'],
    ['6-10', 'later'],
    ['4999999999-5000000003', 'huge!']
  ] as const) {
    expect((await chunk(range, body)).status, range).toBe(416)
  }
  for (const range of [
    '5-9',
    '5-5',
    '9-5',
    '-5',
    '5-',
    'items 5-6',
    '5-6-7',
    '0x5-6',
    '5-99999999999999999999',
    '５-6'
  ]) {
    const answer = await chunk(Buffer.from(range).toString('latin1'), 'ab')
    expect(answer.status, range).toBeOneOf([400, 416])
  }
  expect((await send('GET', location)).headers.get('range')).toBe('0-4')
  expect((await chunk('5-9', 'other')).status).toBe(202)
  const digest = digestOf(Buffer.from('firstother'))
  expect((await send('PUT', `${location}?digest=${digest}`)).status).toBe(201)
  expect((await send('GET', `/v2/team/app/blobs/${digest}`)).body.toString()).toBe('firstother')
  expect((await send('PATCH', location, 'more')).status).toBe(404)
})

test('chunks that come at one time are never mixed', async () => {
  const location = await startUpload()
  const parts = Array.from({ length: 8 }, (_, i) => `${i}`.repeat(200_000))
  const answers = await Promise.all(
    parts.map((part) => send('PATCH', location, part, { 'Content-Range': `0-${part.length - 1}` }))
  )
  const taken = answers.flatMap(({ status }, i) => (status === 202 ? [parts[i] ?? ''] : []))
  expect(answers.filter(({ status }) => status !== 202).every(({ status }) => [409, 416, 404].includes(status))).toBe(
    true
  )
  expect(taken).toHaveLength(1)
  const digest = digestOf(Buffer.from(taken[0] ?? ''))
  expect((await send('PUT', `${location}?digest=${digest}`)).status).toBe(201)
  expect((await send('GET', `/v2/team/app/blobs/${digest}`)).body.toString()).toBe(taken[0])
})

test('an upload that ends with another digest leaves nothing that can be pulled', async () => {
  const location = await startUpload()
  await send('PATCH', location, 'these bytes')
  const other = digestOf(Buffer.from('other bytes'))
  expect((await send('PUT', `${location}?digest=${other}`)).status).toBe(400)
  for (const digest of [other, digestOf(Buffer.from('these bytes'))]) {
    expect((await send('HEAD', `/v2/team/app/blobs/${digest}`)).status).toBe(404)
  }
  victim.expectAlive()
})
