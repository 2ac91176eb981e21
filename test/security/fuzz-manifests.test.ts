import { digestOf, isOciError, MEDIA_TYPE, parseManifest } from '@layermesh/oci'
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { useSandbox } from '../support/sandbox.ts'
import { ask, imageOf, type PushedImage, putImage, putManifest } from './support/client.ts'
import { FUZZ, hostileBytes, PARAMETERS, tryEach } from './support/fuzzing.ts'
import { Victim } from './support/victim.ts'

const TYPES = [MEDIA_TYPE.ociManifest, MEDIA_TYPE.ociIndex, MEDIA_TYPE.dockerManifest, MEDIA_TYPE.dockerManifestList]
const REFUSALS = ['MANIFEST_INVALID', 'DIGEST_INVALID', 'MANIFEST_TOO_LARGE', 'NAME_INVALID']

const sandbox = useSandbox()
const { manifest: IMAGE } = imageOf(Buffer.from('layer'))
let victim: Victim
let image: PushedImage

beforeAll(async () => {
  victim = await Victim.start(sandbox, { name: 'seed', role: 'seed' })
  image = await putImage(victim.node, 'team/app', 'good', Buffer.from('layer'))
})

/** JSON that is nearly a manifest: fields left out, given twice, of another type, too many, or deep. */
function nearlyManifests(): fc.Arbitrary<Buffer> {
  const { config, layer, digest, manifest } = imageOf(Buffer.from('layer'))
  const child = { mediaType: MEDIA_TYPE.ociManifest, digest, size: manifest.length }
  const anything = fc.jsonValue({ maxDepth: 4, noUnicodeString: false })
  const descriptor = fc.oneof(
    fc.constantFrom(config, layer, child, { ...layer, urls: ['http://127.0.0.1/'] }, { ...layer, size: 2 ** 60 }),
    fc.record(
      { mediaType: anything, digest: fc.oneof(anything, fc.constant(layer.digest)), size: anything },
      { requiredKeys: [] }
    ),
    anything
  )
  const value = fc.oneof(
    descriptor,
    fc.array(descriptor, { maxLength: 5 }),
    anything,
    fc.constantFrom(...TYPES, 1, 2, '2', null)
  )
  const key = fc.constantFrom(
    ...[
      'schemaVersion',
      'mediaType',
      'config',
      'layers',
      'manifests',
      'subject',
      'annotations',
      'artifactType',
      'fsLayers'
    ],
    ...['Layers', '__proto__', 'constructor', 'signatures', 'data', 'l\\u0061yers', '']
  )
  const pairs = fc.array(fc.tuple(key, value), { maxLength: 6 })
  const base = fc.constantFrom(
    [
      ['schemaVersion', 2],
      ['mediaType', MEDIA_TYPE.ociManifest],
      ['config', config],
      ['layers', [layer]]
    ],
    [
      ['schemaVersion', 2],
      ['mediaType', MEDIA_TYPE.ociIndex],
      ['manifests', [child]]
    ],
    []
  ) as fc.Arbitrary<[string, unknown][]>
  return fc.tuple(base, pairs, fc.nat({ max: 4 })).map(([known, extra, drop]) => {
    const all = [...known.toSpliced(drop, 1), ...extra].map(([name, text]) => `"${name}":${JSON.stringify(text)}`)
    return Buffer.from(`{${all.join(',')}}`)
  })
}

const inputs = () => fc.oneof(nearlyManifests(), hostileBytes(IMAGE))

test(`${FUZZ.runs} hostile manifests are read in one way or refused`, () => {
  fc.assert(
    fc.property(inputs(), fc.constantFrom(...TYPES, undefined), (bytes, type) => {
      try {
        const manifest = parseManifest(bytes, type)
        const plain = JSON.parse(bytes.toString())
        expect(manifest.kind === 'index' ? 'layers' in plain || 'config' in plain : 'manifests' in plain).toBe(false)
        if (type !== undefined) expect(manifest.mediaType).toBe(type)
      } catch (error) {
        if (!isOciError(error) || !REFUSALS.includes(error.code)) throw error
      }
    }),
    PARAMETERS
  )
  expect(Object.prototype).not.toHaveProperty('config')
})

/** Each that is taken is made durable, which takes some ten milliseconds. */
const PUSHES = FUZZ.all ? FUZZ.runs : 1_500

test(`${PUSHES} hostile manifests that are pushed break nothing and change no other`, async () => {
  const taken = new Map<string, Buffer>()
  const one = async ({ bytes, type, tag }: { bytes: Buffer; type: string; tag: string }) => {
    const { status, headers } = await putManifest(victim.node, 'team/fuzz', tag, bytes, { 'Content-Type': type })
    expect(status).toBeOneOf([201, 400, 404, 413])
    if (status !== 201) return
    const digest = headers.get('docker-content-digest') ?? ''
    expect(digest).toBe(digestOf(bytes))
    taken.set(digest, bytes)
  }
  const pushes = fc.record({ bytes: inputs(), type: fc.constantFrom(...TYPES), tag: fc.constantFrom('a', 'b', 'c') })
  await tryEach(pushes, one, Math.min(300, FUZZ.runs))
  const before = await victim.usage()
  await tryEach(pushes, one, PUSHES)
  for (const [digest, bytes] of [...taken].slice(0, 50)) {
    const { body } = await ask(victim.node, 'GET', `/v2/team/fuzz/manifests/${digest}`)
    expect(body.equals(bytes)).toBe(true)
  }
  const { headers } = await ask(victim.node, 'GET', '/v2/team/app/manifests/good')
  expect(headers.get('docker-content-digest')).toBe(image.digest)
  await victim.expectNoLeak(before, { slackSockets: 64 })
  victim.expectAlive()
})
