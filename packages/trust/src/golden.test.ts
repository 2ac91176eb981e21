import { createPublicKey, verify } from 'node:crypto'
import { digestOf, MEDIA_TYPE, parseRepository, parseTag } from '@layermesh/oci'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { describe, expect, it } from 'vitest'
import { type GrowingMap, openGrowingMap, sealGrowingMap } from './growing-map.ts'
import { peerIdOf } from './keys.ts'
import { openPieceMap, type PieceMap, sealPieceMap } from './piece-map.ts'
import { openRoster, type Roster, sealRoster } from './roster.ts'
import { openSeedSet, type SeedSet, sealSeedSet } from './seed-set.ts'
import { openTagRecord, sealTagRecord, type TagMapping, type TagTombstone } from './tag-record.ts'
import { openTicket, sealTicket, type Ticket } from './ticket.ts'

/**
 * The bytes of records as peers and disks hold them. They are written out as RECORDS.md lays them down; a change here
 * is a change of the protocol, and takes a new payload type.
 */

const key = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(7))
const SIGNER = '12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7'
const PUBLIC_KEY = 'ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c'
const KEY_FIELD = `0a24 08011220 ${PUBLIC_KEY}`
const times = { issuedAt: 1_800_000_000_000, expiresAt: 1_800_604_800_000 }
const hex = (bytes: Uint8Array | string) => Buffer.from(bytes).toString('hex')
const bytesOf = (text: string) => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')

const mapping: TagMapping = {
  repository: parseRepository('team/app'),
  tag: parseTag('1.0'),
  sequence: 42,
  ...times,
  digest: digestOf(Buffer.from('a manifest')),
  mediaType: MEDIA_TYPE.ociManifest,
  size: 712
}
const MAPPING_PAYLOAD = `
  a8
  63 ${hex('tag')} 63 ${hex('1.0')}
  64 ${hex('size')} 19 02c8
  66 ${hex('digest')} 78 47 ${hex('sha256:e59625a822497c164d60705eb3fd6975c375ca213b8140137a826a77790986a9')}
  68 ${hex('issuedAt')} 1b 000001a3185c5000
  68 ${hex('sequence')} 18 2a
  69 ${hex('expiresAt')} 1b 000001a33c68d400
  69 ${hex('mediaType')} 78 2a ${hex('application/vnd.oci.image.manifest.v1+json')}
  6a ${hex('repository')} 68 ${hex('team/app')}`
const MAPPING = {
  payload: MAPPING_PAYLOAD,
  payloadField: '1a db01',
  signature: `
    3cfdd16eb04f1c70b62de8bc7a34024c5aa692f99a30f1c97caf52acf2de930c
    64de10198f552d90e55d64af84cb316a3e802376d88eb6b88fdf539682a7dc0d`
}

const tombstone: TagTombstone = {
  repository: mapping.repository,
  tag: mapping.tag,
  sequence: 43,
  ...times,
  deleted: true
}
const TOMBSTONE = {
  payload: `
    a6
    63 ${hex('tag')} 63 ${hex('1.0')}
    67 ${hex('deleted')} f5
    68 ${hex('issuedAt')} 1b 000001a3185c5000
    68 ${hex('sequence')} 18 2b
    69 ${hex('expiresAt')} 1b 000001a33c68d400
    6a ${hex('repository')} 68 ${hex('team/app')}`,
  payloadField: '1a 56',
  signature: `
    ba81af5ba01f5939f5a25d7b2217aaaf8d07e3924b638fc6771ff833ce0b3d99
    197db5f0b59a7a977117353b1ac9f690c730d53544cbfbdcb45b2833c5b46806`
}

const blob = Buffer.alloc(2 ** 20 + 5, 'layermesh')
const pieceMap: PieceMap = {
  digest: digestOf(blob),
  length: blob.length,
  pieceLength: 2 ** 20,
  hashes: Uint8Array.from(
    bytesOf(`8a6a21577ab1c56df7163f3d1812a565582a13321f4d0499b8bfb85502e79e2e
             67c81dd0372b7df93ee6faf2a012b84ca93e7da9307473400024a75f32899d2b`)
  )
}
const PIECE_MAP = {
  payload: `
    a4
    66 ${hex('digest')} 78 47 ${hex('sha256:675c9ea84b2e813a68373cfa2714fb4fe1d3400854f7b058356a1f59c52ecc88')}
    66 ${hex('hashes')} 58 40 ${hex(pieceMap.hashes)}
    66 ${hex('length')} 1a 00100005
    6b ${hex('pieceLength')} 1a 00100000`,
  payloadField: '1a b701',
  signature: `
    d4f225ba78be594523fbfa644500606469aec9a8f5e411c429a8f8435d33b02a
    b6bcb3fb0987b170e8d28cd86c1b81b6ab3033ef0e60200bf7b84ce237a6c00e`
}

const growingMap: GrowingMap = {
  digest: pieceMap.digest,
  length: blob.length,
  pieceLength: 2 ** 20,
  count: 1,
  root: Uint8Array.from(bytesOf('446d4707ba7c320f95f297c388f32bd41c4affa120a55537f426bd3f004eb57b')),
  since: 0
}
const GROWING_MAP = {
  payload: `
    a6
    64 ${hex('root')} 58 20 ${hex(growingMap.root)}
    65 ${hex('count')} 01
    65 ${hex('since')} 00
    66 ${hex('digest')} 78 47 ${hex(pieceMap.digest)}
    66 ${hex('length')} 1a 00100005
    6b ${hex('pieceLength')} 1a 00100000`,
  payloadField: '1a a301',
  signature: `
    36b625ce40b7354caea73fbf5dea0c4e0fc5b27de73cee2e399e1b116adf1666
    1a8b3b6176279f70c061cb11fd072e84b7b0dc4d9e2a802d7cba1575ed81c906`
}

const REVOKED = '12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5'
const roster: Roster = {
  sequence: 3,
  ...times,
  revokedPeers: [REVOKED],
  revokedTickets: [],
  revokedKeys: ['k0'],
  apiKeys: [
    {
      id: 'k1',
      hash: new Uint8Array(32).fill(9),
      name: 'ci',
      user: 'alice',
      scopes: [{ repositories: 'team/**', actions: ['pull', 'create'] }],
      createdAt: times.issuedAt,
      expiresAt: times.expiresAt
    }
  ]
}
const ROSTER = {
  payload: `
    a7
    67 ${hex('apiKeys')} 81 a7
      62 ${hex('id')} 62 ${hex('k1')}
      64 ${hex('hash')} 58 20 ${'09'.repeat(32)}
      64 ${hex('name')} 62 ${hex('ci')}
      64 ${hex('user')} 65 ${hex('alice')}
      66 ${hex('scopes')} 81 a2
        67 ${hex('actions')} 82 64 ${hex('pull')} 66 ${hex('create')}
        6c ${hex('repositories')} 67 ${hex('team/**')}
      69 ${hex('createdAt')} 1b 000001a3185c5000
      69 ${hex('expiresAt')} 1b 000001a33c68d400
    68 ${hex('issuedAt')} 1b 000001a3185c5000
    68 ${hex('sequence')} 03
    69 ${hex('expiresAt')} 1b 000001a33c68d400
    6b ${hex('revokedKeys')} 81 62 ${hex('k0')}
    6c ${hex('revokedPeers')} 81 78 34 ${hex(REVOKED)}
    6e ${hex('revokedTickets')} 80`,
  payloadField: '1a b702',
  signature: `
    0fc095e0ea4ea69abb30646d26636b7e14fc671f275933f188b7ff49acb4ac80
    3d6e7867e695029a861a625c1d1252fb3a8b5b6bf70f94bb336e0d6cfa49940b`
}

const ticket: Ticket = { id: 't1', peerId: REVOKED, ...times }
const TICKET = {
  payload: `
    a4
    62 ${hex('id')} 62 ${hex('t1')}
    66 ${hex('peerId')} 78 34 ${hex(REVOKED)}
    68 ${hex('issuedAt')} 1b 000001a3185c5000
    69 ${hex('expiresAt')} 1b 000001a33c68d400`,
  payloadField: '1a 69',
  signature: `
    8807101b7b4a752ae7ccf4bf474a74164b7d0d19d532e9943fbdbd969eca3019
    c9f067b1eb260352c0d69cc72e27aed308b08a9bea7269e5e2879a288a499509`
}

const seedSet: SeedSet = {
  sequence: 3,
  ...times,
  seeds: [{ peerId: SIGNER, repositories: ['team/**'], notAfter: times.expiresAt }],
  revoked: [REVOKED]
}
const SEED_SET = {
  payload: `
    a5
    65 ${hex('seeds')} 81 a3
      66 ${hex('peerId')} 78 34 ${hex(SIGNER)}
      68 ${hex('notAfter')} 1b 000001a33c68d400
      6c ${hex('repositories')} 81 67 ${hex('team/**')}
    67 ${hex('revoked')} 81 78 34 ${hex(REVOKED)}
    68 ${hex('issuedAt')} 1b 000001a3185c5000
    68 ${hex('sequence')} 03
    69 ${hex('expiresAt')} 1b 000001a33c68d400`,
  payloadField: '1a dc01',
  signature: `
    31d4f698a68979d154c717acbb540bad7c961f34f03b4ec176c99c84ce4b7e68
    dc49d395bc5e778e04588ce5446c3148ad31e790112302f9cb04d9ad7adba40e`
}

type Golden = typeof MAPPING
const TAG_RECORD_TYPE = '/layermesh/tag-record/1'
const PIECE_MAP_TYPE = '/layermesh/piece-map/1'
const GROWING_MAP_TYPE = '/layermesh/growing-map/1'
const ROSTER_TYPE = '/layermesh/roster/1'
const SEED_SET_TYPE = '/layermesh/seed-set/1'
const TICKET_TYPE = '/layermesh/ticket/1'

function envelopeBytes(golden: Golden, payloadType: string): Buffer {
  const typeField = `12 ${Buffer.of(payloadType.length).toString('hex')} ${hex(payloadType)}`
  return bytesOf(`${KEY_FIELD} ${typeField} ${golden.payloadField} ${golden.payload} 2a40 ${golden.signature}`)
}

describe('golden bytes', () => {
  it.each([
    ['mapping', mapping, MAPPING],
    ['tombstone', tombstone, TOMBSTONE]
  ])('of a %s', async (_what, record, golden) => {
    const bytes = envelopeBytes(golden, TAG_RECORD_TYPE)
    expect(hex(await sealTagRecord(record, key))).toBe(hex(bytes))
    expect(await openTagRecord(bytes)).toEqual({ record, signer: SIGNER })
  })

  it('of a piece map', async () => {
    const bytes = envelopeBytes(PIECE_MAP, PIECE_MAP_TYPE)
    expect(hex(await sealPieceMap(pieceMap, key))).toBe(hex(bytes))
    expect(await openPieceMap(bytes)).toEqual({ map: pieceMap, signer: SIGNER })
  })

  it('of a growing map', async () => {
    const bytes = envelopeBytes(GROWING_MAP, GROWING_MAP_TYPE)
    expect(hex(await sealGrowingMap(growingMap, key))).toBe(hex(bytes))
    expect(await openGrowingMap(bytes)).toEqual({ map: growingMap, signer: SIGNER })
  })

  it('of a roster', async () => {
    const bytes = envelopeBytes(ROSTER, ROSTER_TYPE)
    expect(hex(await sealRoster(roster, key))).toBe(hex(bytes))
    expect(await openRoster(bytes, (signer) => signer === SIGNER)).toEqual({ roster, signer: SIGNER })
  })

  it('of an admission ticket', async () => {
    const bytes = envelopeBytes(TICKET, TICKET_TYPE)
    expect(hex(await sealTicket(ticket, key))).toBe(hex(bytes))
    expect(await openTicket(bytes, (signer) => signer === SIGNER)).toEqual({ ticket, signer: SIGNER })
  })

  it('of a seed set', async () => {
    const bytes = envelopeBytes(SEED_SET, SEED_SET_TYPE)
    expect(hex(await sealSeedSet(seedSet, key))).toBe(hex(bytes))
    expect(await openSeedSet(bytes)).toEqual({ set: seedSet, root: SIGNER })
  })

  it('of a peer id', () => {
    expect(peerIdOf(key)).toBe(SIGNER)
  })

  it.each([
    ['layermesh-tag-record', TAG_RECORD_TYPE, MAPPING],
    ['layermesh-tag-record', TAG_RECORD_TYPE, TOMBSTONE],
    ['layermesh-piece-map', PIECE_MAP_TYPE, PIECE_MAP],
    ['layermesh-growing-map', GROWING_MAP_TYPE, GROWING_MAP],
    ['layermesh-roster', ROSTER_TYPE, ROSTER],
    ['layermesh-ticket', TICKET_TYPE, TICKET],
    ['layermesh-seed-set', SEED_SET_TYPE, SEED_SET]
  ])('are signed over domain %s, type %s and payload, each after its length', (domain, payloadType, golden) => {
    const signedBytes = bytesOf(`
      ${Buffer.of(domain.length).toString('hex')} ${hex(domain)}
      ${Buffer.of(payloadType.length).toString('hex')} ${hex(payloadType)}
      ${golden.payloadField.slice(2)} ${golden.payload}`)
    const x = Buffer.from(PUBLIC_KEY, 'hex').toString('base64url')
    const publicKey = createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x } })
    expect(verify(null, signedBytes, publicKey, bytesOf(golden.signature))).toBe(true)
  })
})
