import { readFile } from 'node:fs/promises'
import { digestOf, parseRepository, parseTag } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { encodeLeaseAnswer, encodeLeaseRequest } from '../leases/messages.ts'
import { encodeIntroduction } from '../network/peer-directory.ts'
import { encodeNoticeRequest } from '../notices/messages.ts'
import { encodeMembers, encodePrefetchMessage, encodeReport } from '../prefetch/messages.ts'
import { encodeTagAnswer, encodeTagRequest } from '../tags/messages.ts'
import { encodeHave, encodeJoin, encodeJoined, encodeLeave, encodeRefused } from './blob-messages.ts'
import { encodeCancel, encodeDataHeader, encodeReject, encodeRequest } from './frames.ts'

const digest = digestOf(new Uint8Array())
const PEER = '12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7'
const repository = parseRepository('team/app')

/** In the order of the table "Examples". */
const EXAMPLES: readonly Uint8Array[] = [
  encodeIntroduction({ role: 'node', zone: 'eu', version: '0.1.0' }),
  encodeTagRequest({ op: 'resolve', repository, tag: parseTag('1') }),
  encodeTagAnswer({ confirmedAt: 0, authoritative: false }),
  encodeNoticeRequest({ op: 'changed', heads: [{ kind: 'roster', signer: 'seed', sequence: 7 }] }),
  encodePrefetchMessage({ op: 'fetch', request: { reference: 'team/app:1', platform: 'all', deadlineMs: 60_000 } }),
  encodeReport({ state: 'fetching', size: 10, heldBytes: 4, receivedBytes: 3 }),
  encodePrefetchMessage({ op: 'members' }),
  encodeMembers([]),
  encodeLeaseRequest({ op: 'acquire', digest }),
  encodeLeaseRequest({ op: 'release', digest, reason: 'failed' }),
  encodeLeaseAnswer({ op: 'held', digest, holder: { peerId: PEER, addresses: ['/ip4/10.0.0.1/tcp/5001'] } }),
  encodeJoin({ joinId: 1, digest, within: repository }),
  encodeJoined({ joinId: 1, size: 0, peers: [] }),
  encodeRefused({ joinId: 1, reason: 'unknown', peers: [] }),
  encodeHave({ joinId: 1, pieces: [0, 4] }),
  encodeLeave(1),
  encodeRequest({ requestId: 1, joinId: 2, piece: 3 }),
  encodeCancel(7),
  encodeDataHeader(9, 262_144, 4),
  encodeReject(7, 'not-held')
]

it('writes the bytes that PROTOCOL.md shows', async () => {
  const text = await readFile(new URL('../../PROTOCOL.md', import.meta.url), 'utf8')
  const rows = text.matchAll(/^\|[^|]+\| `(?<hex>(?:[0-9a-f]{2})+)` +\|$/gm)
  const shown = [...rows].map(({ groups }) => groups?.hex)
  expect(shown).toEqual(EXAMPLES.map((bytes) => Buffer.from(bytes).toString('hex')))
})
