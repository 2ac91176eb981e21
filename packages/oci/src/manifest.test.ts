import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { digestOf } from './digest.ts'
import { isOciError } from './errors.ts'
import { MAX_MANIFEST_BYTES, parseManifest, referencedDescriptors, referrerOf } from './manifest.ts'
import { MEDIA_TYPE } from './media-types.ts'

const { ociManifest, ociIndex, dockerManifest, dockerManifestList, dockerSchema1Signed } = MEDIA_TYPE
const descriptor = (mediaType: string, content = mediaType) => ({
  mediaType,
  digest: digestOf(Buffer.from(content)),
  size: content.length
})
const config = descriptor(MEDIA_TYPE.ociConfig)
const layer = descriptor(MEDIA_TYPE.ociLayerGzip)
const foreignLayer = descriptor('application/vnd.docker.image.rootfs.foreign.diff.tar.gzip')
const child = descriptor(ociManifest)
const image = { schemaVersion: 2, mediaType: ociManifest, config, layers: [layer] }
const index = { schemaVersion: 2, mediaType: ociIndex, manifests: [child] }

const encode = (value: unknown) => Buffer.from(JSON.stringify(value))
const parse = (value: unknown, contentType?: string) => parseManifest(encode(value), contentType)
const refusal = (code: string, message?: RegExp) =>
  expect.objectContaining({ code, ...(message === undefined ? {} : { message: expect.stringMatching(message) }) })

describe('a manifest', () => {
  it('is read as the image it is', () => {
    expect(parse(image, ociManifest)).toEqual({ kind: 'image', mediaType: ociManifest, config, layers: [layer] })
  })

  it('is read as the index it is', () => {
    expect(parse(index, ociIndex)).toEqual({ kind: 'index', mediaType: ociIndex, manifests: [child] })
  })

  it.each([
    ['a Docker image', { ...image, mediaType: dockerManifest }, 'image'],
    ['a Docker manifest list', { ...index, mediaType: dockerManifestList }, 'index'],
    ['no layers', { ...image, layers: [] }, 'image'],
    ['layers left out', { schemaVersion: 2, mediaType: ociManifest, config }, 'image'],
    ['layers that a Go program left nil', { ...image, layers: null }, 'image'],
    ['an empty index', { ...index, manifests: [] }, 'index'],
    ['an index that a Go program left nil', { ...index, manifests: null }, 'index'],
    ['a nested index', { ...index, manifests: [descriptor(ociIndex)] }, 'index'],
    ['an artifact', { ...image, artifactType: 'application/x', config: descriptor(MEDIA_TYPE.ociEmpty) }, 'image'],
    ['a data field', { ...image, config: { ...config, data: 'e30=' } }, 'image'],
    ['unknown fields', { ...image, 'org.example.x': [{ deep: { er: 1 } }], layers: [{ ...layer, y: 1 }] }, 'image'],
    ['a partial platform', { ...index, manifests: [{ ...child, platform: { os: 'linux' } }] }, 'index'],
    ['a null subject', { ...image, subject: null }, 'image']
  ])('may be %s', (_what, body, kind) => {
    expect(parse(body).kind).toBe(kind)
  })

  it('is classified by its shape when it names no type', () => {
    const { mediaType: _image, ...untypedImage } = image
    const { mediaType: _index, ...untypedIndex } = index
    expect(parse(untypedImage).mediaType).toBe(ociManifest)
    expect(parse(untypedIndex, ociIndex).mediaType).toBe(ociIndex)
    expect(() => parse(untypedIndex, ociManifest)).toThrow(refusal('MANIFEST_INVALID'))
    expect(() => parse(untypedImage, dockerManifest)).toThrow(refusal('MANIFEST_INVALID'))
  })

  it('tells platform, annotations, urls and subject', () => {
    const platform = { architecture: 'arm', os: 'linux', variant: 'v7' }
    const full = { ...child, platform, annotations: { a: 'b' }, urls: ['https://x.example/'], artifactType: 't/x' }
    expect(
      parse({ ...index, manifests: [full], subject: child, annotations: { c: 'd' }, artifactType: 't/y' })
    ).toEqual({
      kind: 'index',
      mediaType: ociIndex,
      manifests: [full],
      subject: child,
      annotations: { c: 'd' },
      artifactType: 't/y'
    })
  })
})

describe('a manifest is refused', () => {
  it.each([
    ['that is image and index at once', { ...image, manifests: [child] }, /both/],
    ['that has manifests and layers', { ...index, layers: [] }, /both/],
    ['that hides the second shape behind null', { ...image, manifests: null }, /both/],
    ['that is neither', { schemaVersion: 2, mediaType: ociManifest }, /either/],
    ['without config', { ...image, config: undefined }, /config must be an object/],
    ['whose type is of the other shape', { ...image, mediaType: ociIndex }, /does not fit/],
    ['whose type is unknown', { ...image, mediaType: 'application/json' }, /none of/],
    ['of schema 1', { ...image, schemaVersion: 1 }, /schema 1/],
    ['of signed schema 1', { schemaVersion: 1, mediaType: dockerSchema1Signed, fsLayers: [] }, /schema 1/],
    ['with the layers of schema 1', { ...image, fsLayers: [] }, /schema 1/],
    ['without schemaVersion', { ...image, schemaVersion: undefined }, /schemaVersion/],
    ['of schemaVersion "2"', { ...image, schemaVersion: '2' }, /schemaVersion/],
    ['that is a list', [image], /object/],
    ['that is null', null, /object/],
    ['whose layers are an object', { ...image, layers: {} }, /layers must be a list/],
    ['with a layer of null', { ...image, layers: [null] }, /layers\[0\]/],
    ['with a negative size', { ...image, layers: [{ ...layer, size: -1 }] }, /size/],
    ['with half a byte', { ...image, layers: [{ ...layer, size: 0.5 }] }, /size/],
    ['with a size beyond exact numbers', { ...image, layers: [{ ...layer, size: 2 ** 53 }] }, /size/],
    ['with a size in a string', { ...image, layers: [{ ...layer, size: '1' }] }, /size/],
    ['without a size', { ...image, config: { ...config, size: undefined } }, /config.size/],
    ['without the type of a layer', { ...image, layers: [{ ...layer, mediaType: '' }] }, /mediaType/],
    ['with annotations that are no strings', { ...image, annotations: { a: 1 } }, /annotations/],
    ['with urls that are no list', { ...image, layers: [{ ...layer, urls: 'x' }] }, /urls/],
    ['with a platform that is no object', { ...index, manifests: [{ ...child, platform: 'linux' }] }, /platform/],
    ['with an artifactType that is no string', { ...image, artifactType: 1 }, /artifactType/],
    ['with a subject that is no descriptor', { ...image, subject: 'sha256:x' }, /subject/],
    ['that Go would read with other layers', { ...image, Layers: [foreignLayer] }, /case/],
    ['that Go would read as an index', { ...image, manife\u017fts: [child] }, /case/],
    ['with a digest that Go would read otherwise', { ...image, config: { ...config, Digest: layer.digest } }, /case/]
  ])('%s', (_what, body, message) => {
    expect(() => parse(body)).toThrow(refusal('MANIFEST_INVALID', message))
  })

  it.each(['sha256:abc', `SHA256:${'a'.repeat(64)}`, 'sha256:../../etc/passwd', 7, null])(
    'with the digest %j',
    (digest) => {
      expect(() => parse({ ...image, layers: [{ ...layer, digest }] })).toThrow(refusal('DIGEST_INVALID'))
    }
  )

  it('whose type is not the one it came as', () => {
    expect(() => parse(image, dockerManifest)).toThrow(refusal('MANIFEST_INVALID', /came as/))
    expect(() => parse(image, '')).toThrow(refusal('MANIFEST_INVALID'))
    expect(parse(image, `${ociManifest}; charset=utf-8`).kind).toBe('image')
  })

  it('that names a key twice', () => {
    const text = JSON.stringify(image).replace('"layers"', '"layers":[],"layers"')
    expect(() => parseManifest(Buffer.from(text))).toThrow(refusal('MANIFEST_INVALID', /twice/))
  })

  it('that is not UTF-8', () => {
    const bytes = Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff]), Buffer.from('"}')])
    expect(() => parseManifest(bytes)).toThrow(refusal('MANIFEST_INVALID', /UTF-8/))
  })

  it('that is 4 MiB of brackets', () => {
    expect(() => parseManifest(Buffer.alloc(MAX_MANIFEST_BYTES, '['))).toThrow(refusal('MANIFEST_INVALID', /deeper/))
    expect(() => parseManifest(Buffer.from('{"a":'.repeat(800_000)))).toThrow(refusal('MANIFEST_INVALID', /deeper/))
  })

  it('with nothing but an OciError, whatever is wrong with it', () => {
    const keys = fc.constantFrom(
      'schemaVersion',
      'mediaType',
      'config',
      'layers',
      'manifests',
      'subject',
      'annotations'
    )
    const value = fc.oneof(fc.jsonValue(), fc.constantFrom(2, ociManifest, ociIndex, config, [layer], [child]))
    fc.assert(
      fc.property(fc.dictionary(keys, value), (body) => {
        try {
          parse({ schemaVersion: 2, ...body })
        } catch (error) {
          expect(isOciError(error)).toBe(true)
        }
      }),
      { numRuns: 1000 }
    )
  })
})

describe('the limit of 4 MiB', () => {
  const padded = (length: number) => Buffer.from(JSON.stringify(image).padEnd(length))

  it('takes exactly 4194304 bytes', () => {
    expect(MAX_MANIFEST_BYTES).toBe(4_194_304)
    expect(parseManifest(padded(MAX_MANIFEST_BYTES)).kind).toBe('image')
  })

  it('refuses one byte more', () => {
    expect(() => parseManifest(padded(MAX_MANIFEST_BYTES + 1))).toThrow(
      expect.objectContaining({ code: 'MANIFEST_TOO_LARGE', status: 413 })
    )
  })
})

describe('what a manifest needs', () => {
  it('is config and layers, but no layer that may lie elsewhere, and no subject', () => {
    const manifest = parse({ ...image, layers: [layer, foreignLayer], subject: child })
    expect(referencedDescriptors(manifest)).toEqual([config, layer])
  })

  it('is every child of an index', () => {
    expect(
      referencedDescriptors(parse({ ...index, manifests: [child, descriptor(ociIndex)], subject: layer }))
    ).toEqual([child, descriptor(ociIndex)])
  })
})

describe('a referrer', () => {
  const digest = digestOf(Buffer.from('referrer'))

  it.each([
    ['the artifactType of an image', { ...image, artifactType: 'a/b' }, 'a/b'],
    ['the type of the config when an image has none', image, config.mediaType],
    ['the type of the config when it is empty', { ...image, artifactType: '' }, config.mediaType],
    ['the artifactType of an index', { ...index, artifactType: 'a/b' }, 'a/b'],
    ['nothing for an index without one', index, undefined]
  ])('is told with %s', (_what, body, artifactType) => {
    const referrer = referrerOf(parse(body), digest, 7)
    expect(referrer.artifactType).toBe(artifactType)
    expect('artifactType' in referrer).toBe(artifactType !== undefined)
  })

  it('carries the annotations of the manifest', () => {
    const annotations = { a: 'b', ['__proto__']: 'c' }
    expect(referrerOf(parse({ ...image, annotations }), digest, 7)).toEqual({
      mediaType: ociManifest,
      digest,
      size: 7,
      artifactType: config.mediaType,
      annotations
    })
  })
})
