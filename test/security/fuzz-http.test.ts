import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { useSandbox } from '../support/sandbox.ts'
import { ask } from './support/client.ts'
import { FUZZ, tryEach } from './support/fuzzing.ts'
import { exchange, type RawAnswer, RawHttp, requestBytes } from './support/raw-http.ts'
import { basic, CANARY, SecuredMesh } from './support/secured-mesh.ts'

const METHODS = ['GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE']
/** How long a server may wait for the rest of what is no whole request, before it is told that none comes. */
const QUIET_MS = 300

const sandbox = useSandbox()
const idle: RawHttp[] = []
let mesh: SecuredMesh

beforeAll(async () => {
  mesh = await SecuredMesh.start(sandbox)
})

afterAll(() => {
  for (const connection of idle) connection.destroy()
})

/** Nothing of what only alice and bob may read, nothing done, nothing broken. */
function expectHarmless(answer: RawAnswer | undefined, request: string): void {
  if (answer === undefined) return
  const { status, headers, body } = answer
  expect(status, 'the status').toBeLessThan(500)
  const shown = `${[...headers.values()].join('\n')}\n${body.toString('latin1')}`
  if (!request.includes(CANARY)) expect(shown.includes(CANARY), 'what is secret').toBe(false)
  expect(shown.includes(mesh.seed.node.dataDirectory), 'a path of the server').toBe(false)
  expect([201, 202], 'the status of something done').not.toContain(status)
}

/** What the strangers could not change, and what it left behind. */
async function expectUnchanged(): Promise<void> {
  const headers = { Authorization: basic('alice') }
  const { digest, layer } = mesh.secret
  const tags = await ask(mesh.seed.node, 'GET', '/v2/secret/app/tags/list', { headers })
  expect(JSON.parse(tags.body.toString())).toEqual({ name: 'secret/app', tags: ['1'] })
  const manifest = await ask(mesh.seed.node, 'GET', '/v2/secret/app/manifests/1', { headers })
  expect(manifest.headers.get('docker-content-digest')).toBe(digest)
  const blob = await ask(mesh.seed.node, 'GET', `/v2/secret/app/blobs/${layer.digest}`, { headers })
  expect(blob.body.toString()).toContain(CANARY)
  mesh.seed.expectAlive()
}

/** Bytes that servers, proxies and file systems read in different ways. */
const odd = fc.constantFrom(
  ...[
    '/',
    '//',
    '.',
    '..',
    '/../',
    '%2e%2e/',
    '%2f',
    '%5c',
    '\\',
    '%00',
    '\0',
    ';',
    ';a=b',
    '?',
    '#',
    '%',
    '%zz',
    '%25'
  ],
  ...['+', '%20', ':', '@', '~', '*', '\t', '%0d%0a', '\x80', '\xff', '%c0%af', '%ff', 'V2', '_', '__', '-', 'sha256:']
)

/** Paths of the API, and some that look like them, as they are, spoilt, or both at once. */
function paths(): fc.Arbitrary<string> {
  const { digest, layer } = mesh.secret
  const known = fc.constantFrom(
    ...['/v2/', '/v2', '/v2/_catalog', '/auth/token', '/v2/secret/app/tags/list', '/v2/secret/app/manifests/1'],
    ...[`/v2/secret/app/manifests/${digest}`, `/v2/secret/app/blobs/${layer.digest}`, '/v2/secret/app/blobs/uploads/'],
    ...[
      `/v2/public/app/blobs/${layer.digest}`,
      `/v2/public/app/manifests/${digest}`,
      '/v2/docker.io/library/x/manifests/1'
    ],
    ...[`/v2/secret/app/referrers/${digest}`, `/v2/public/app/blobs/uploads/?mount=${layer.digest}&from=secret/app`],
    ...[`/v2/secret/app/manifests/1?ns=localhost:5000`, `/v2/127.0.0.1:5000/secret/app/manifests/1`, '/'],
    ...['/v2/secret/app/blobs/uploads/x', `/v2/secret/app/manifests/${digest}?tag=a&tag=b`, '/v2/_oci/ext/discover']
  )
  const word = fc.constantFrom(
    'secret',
    'app',
    'public',
    'blobs',
    'manifests',
    'tags',
    'list',
    'uploads',
    'referrers',
    '1'
  )
  const built = fc.array(fc.oneof(word, odd, fc.string({ maxLength: 8 }), fc.constant(digest)), { maxLength: 10 })
  const base = fc.oneof(
    { weight: 3, arbitrary: known },
    { weight: 1, arbitrary: built.map((parts) => `/v2/${parts.join('/')}`) }
  )
  const edit = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    cut: fc.nat({ max: 3 }),
    put: fc.oneof(odd, fc.string({ maxLength: 3 }))
  })
  return fc.tuple(base, fc.array(edit, { maxLength: 3 })).map(([path, edits]) => {
    let text = path
    for (const { at, cut, put } of edits) {
      const from = Math.floor(at * text.length)
      text = text.slice(0, from) + put + text.slice(from + cut)
    }
    return text.replace(/[\r\n ]/g, '%20')
  })
}

test(`${FUZZ.runs} paths and methods give strangers nothing and break nothing`, async () => {
  const { registryUrl } = mesh.seed.node
  const one = async ({ method, path }: { method: string; path: string }) => {
    const connection = idle.pop() ?? (await RawHttp.open(registryUrl))
    connection.write(requestBytes(method, Buffer.from(path).toString('latin1'), ['Content-Length: 0']))
    const answer = await connection.answer(method)
    if (answer === undefined || connection.closed) connection.destroy()
    else idle.push(connection)
    expectHarmless(answer, path)
  }
  const inputs = fc.record({ method: fc.constantFrom(...METHODS), path: paths() })
  await tryEach(inputs, one, Math.min(500, FUZZ.runs))
  const before = await mesh.seed.usage()
  await tryEach(inputs, one)
  await expectUnchanged()
  await mesh.seed.expectNoLeak(before, { slackSockets: 32 })
})

/** Heads of requests: the lines that decide something, with values that hardly any client sends, and lines that are none. */
function heads(): fc.Arbitrary<string> {
  const { layer } = mesh.secret
  const name = fc.constantFrom(
    ...[
      'Host',
      'Content-Length',
      'Transfer-Encoding',
      'Connection',
      'Range',
      'If-Range',
      'If-None-Match',
      'Accept',
      'Expect'
    ],
    ...[
      'Content-Type',
      'Content-Range',
      'Content-Encoding',
      'Authorization',
      'X-Forwarded-For',
      'X-Forwarded-Proto',
      'Upgrade'
    ],
    ...[
      'Forwarded',
      'X-Original-URL',
      'X-Rewrite-URL',
      'X-HTTP-Method-Override',
      'Cookie',
      'Origin',
      'TE',
      'Trailer',
      'X'
    ]
  )
  const value = fc.oneof(
    fc.constantFrom(
      ...[
        'chunked',
        'gzip, chunked',
        'identity',
        '0',
        '-1',
        '5',
        '99999999999999999999',
        '0x10',
        '1e3',
        '100-continue',
        'close'
      ],
      ...[
        'keep-alive, Upgrade',
        'websocket',
        'h2c',
        'bytes=0-',
        'bytes=5-1',
        'bytes=-',
        'bytes=0-0,2-3',
        '*',
        'W/"x"',
        '"',
        ','
      ],
      ...[
        '0-9',
        '5-',
        'application/vnd.oci.image.manifest.v1+json',
        '/v2/secret/app/manifests/1',
        '127.0.0.1',
        'https',
        'GET'
      ],
      ...['Basic YWxpY2U6', 'Bearer a.b.c', 'Basic', 'Bearer', `"${layer.digest}"`, 'alice', 'true', 'null']
    ),
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc.string({ maxLength: 4000 })
  )
  const line = fc.oneof(
    { weight: 6, arbitrary: fc.tuple(name, value).map(([key, text]) => `${key}: ${text.replace(/[\r\n]/g, ' ')}`) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(': x', 'X', ' X: y', 'X : y', 'X:\ty', '\0: x', 'Content-Length: 5', 'X\x0b: y')
    },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) }
  )
  const target = fc.constantFrom(
    ...[
      '/v2/',
      '/v2/_catalog',
      '/v2/secret/app/manifests/1',
      `/v2/secret/app/blobs/${layer.digest}`,
      '/auth/token?service=x'
    ],
    ...[
      `/v2/public/app/blobs/${layer.digest}`,
      '/v2/secret/app/blobs/uploads/',
      '*',
      'http://x/v2/secret/app/tags/list'
    ]
  )
  const version = fc.constantFrom(
    'HTTP/1.1',
    'HTTP/1.1',
    'HTTP/1.1',
    'HTTP/1.0',
    'HTTP/2.0',
    'HTTP/0.9',
    'http/1.1',
    ''
  )
  const end = fc.constantFrom('\r\n', '\r\n', '\r\n', '\n', '\r')
  const rest = fc.constantFrom(
    '',
    '',
    '',
    'hello',
    '0\r\n\r\n',
    '5\r\nhello\r\n0\r\n\r\n',
    'ffffffffffffffff\r\n',
    'GET /v2/secret/app/tags/list HTTP/1.1\r\n\r\n'
  )
  return fc
    .record({
      method: fc.constantFrom(...METHODS),
      target,
      version,
      lines: fc.array(line, { maxLength: 6 }),
      end,
      rest
    })
    .map(({ method, target: path, version: http, lines, end: newline, rest: body }) =>
      [`${method} ${path} ${http}`, 'Host: x', ...lines, '', body].join(newline)
    )
}

test(`${FUZZ.runs} heads of requests give strangers nothing and break nothing`, async () => {
  const { registryUrl } = mesh.seed.node
  const one = async (head: string) => {
    const bytes = Buffer.from(head, 'latin1')
    const method = head.slice(0, head.indexOf(' '))
    expectHarmless(await exchange(registryUrl, bytes, { method, quietMs: QUIET_MS }), head)
  }
  await tryEach(heads(), one, Math.min(300, FUZZ.runs))
  const before = await mesh.seed.usage()
  await tryEach(heads(), one)
  await expectUnchanged()
  await mesh.seed.expectNoLeak(before, { slackSockets: 32 })
})
