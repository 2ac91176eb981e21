import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Bitfield, type Digest, pieceCount } from '@layermesh/oci'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { LIMITS, PROTOCOL } from '../limits.ts'
import { Admissions } from '../network/admissions.ts'
import { createHost, type MeshHost } from '../network/host.ts'
import { secretsAlone } from '../network/membership.ts'
import { type ServeOptions, serve } from '../network/rpc.ts'
import { tagRecordRules } from '../tags/record-rules.ts'
import { decodeJoin, encodeHave, encodeJoined } from '../wire/blob-messages.ts'
import { encodeFields } from '../wire/fields.ts'
import { decodeRequest, encodeDataHeader, FRAME, FrameReader } from '../wire/frames.ts'
import type { MeshFixture, TestNode } from './mesh-fixture.ts'

const UNBOUNDED: ServeOptions = {
  deadlineMs: 10_000,
  rate: { perSecond: 1e9, burst: 1e9 },
  onFailure: () => {},
  onFlood: () => {},
  onMalformed: () => {}
}

/** What a hostile peer does with a request for a piece. */
export type Misdeed = (stream: Stream, requestId: number, piece: Uint8Array, asker: string) => void

function send(stream: Stream, requestId: number, offset: number, payload: Uint8Array): void {
  if (stream.writeStatus !== 'writable') return
  stream.send(encodeDataHeader(requestId, offset, payload.byteLength))
  stream.send(payload)
}

/** Sends bytes as the protocol wants them. */
export function sendPiece(stream: Stream, requestId: number, bytes: Uint8Array): void {
  for (let offset = 0; offset < bytes.byteLength; offset += LIMITS.dataFrameBytes) {
    send(stream, requestId, offset, bytes.subarray(offset, offset + LIMITS.dataFrameBytes))
  }
}

export const MISDEEDS = {
  'wrong bytes': (stream, requestId, piece) => {
    const wrong = Buffer.from(piece)
    wrong.writeUInt8(wrong.readUInt8(0) ^ 1, 0)
    sendPiece(stream, requestId, wrong)
  },
  'too few bytes, then the end': (stream, requestId, piece) => {
    send(stream, requestId, 0, piece.subarray(0, 1000))
    stream.close().catch(() => {})
  },
  'too few bytes, then silence': (stream, requestId, piece) => send(stream, requestId, 0, piece.subarray(0, 1000)),
  'too many bytes': (stream, requestId, piece) => {
    sendPiece(stream, requestId, piece)
    send(stream, requestId, piece.byteLength, Buffer.alloc(1000))
  },
  'bytes out of place': (stream, requestId, piece) => send(stream, requestId, 5, piece.subarray(0, 1000)),
  'bytes that nobody asked for': (stream, requestId, piece) =>
    send(stream, requestId + 1000, 0, piece.subarray(0, 1000)),
  'a frame of 4 GiB': (stream) => void stream.send(Buffer.from('ffffffff08', 'hex')),
  'a frame of no known type': (stream) => void stream.send(Buffer.from('00000002ff00', 'hex')),
  nothing: () => {}
} satisfies Record<string, Misdeed>

/** A real libp2p node that is a member of the mesh, offers a blob and then misbehaves. */
export async function hostilePeer(
  fixture: Pick<MeshFixture, 'onDispose'>,
  blob: {
    digest: Digest
    bytes: Uint8Array
    pieceMap?: Uint8Array
    pieceLength: number
    tellsLater?: boolean
    answersAfter?: Promise<void>
    /** What it sends in answer to a join, in place of an offer with a piece map. */
    answers?: (joinId: number) => readonly Uint8Array[]
  },
  misdeed: Misdeed
): Promise<{ peerId: string; address: string; asked: () => number; askers: () => number }> {
  const { host, start } = await hostileNode(fixture)
  let asked = 0
  const askers = new Set<string>()
  await serve(
    host,
    PROTOCOL.hello,
    async () => encodeFields({ version: 'hostile', role: 'node', zone: 'default' }),
    UNBOUNDED
  )
  await host.handle(PROTOCOL.blob, (stream, connection) => {
    const asker = connection.remotePeer.toString()
    const reader = new FrameReader()
    stream.addEventListener('message', ({ data }) => {
      for (const { type, body } of reader.push(data)) {
        if (type === FRAME.join) {
          const { joinId, digest } = decodeJoin(body)
          if (digest !== blob.digest) continue
          const { bytes, pieceMap, pieceLength, tellsLater } = blob
          const held = tellsLater ? new Bitfield(pieceCount(bytes.byteLength, pieceLength)).toBytes() : undefined
          const offer = { ...(pieceMap === undefined ? {} : { pieceMap }), ...(held === undefined ? {} : { held }) }
          askers.add(asker)
          if (blob.answers) {
            const frames = blob.answers(joinId)
            const answer = () => {
              for (const frame of frames) stream.send(frame)
            }
            if (blob.answersAfter) void blob.answersAfter.then(answer)
            else answer()
            continue
          }
          const answer = encodeJoined({ joinId, size: bytes.byteLength, peers: [], ...offer })
          if (blob.answersAfter) void blob.answersAfter.then(() => stream.send(answer))
          else stream.send(answer)
          if (held)
            stream.send(encodeHave({ joinId, pieces: [...Array(pieceCount(bytes.byteLength, pieceLength)).keys()] }))
        } else if (type === FRAME.request) {
          asked++
          const { requestId, piece } = decodeRequest(body)
          misdeed(
            stream,
            requestId,
            blob.bytes.subarray(piece * blob.pieceLength, (piece + 1) * blob.pieceLength),
            asker
          )
        }
      }
    })
  })
  await start()
  return {
    peerId: host.peerId.toString(),
    address: host.getMultiaddrs()[0]?.toString() ?? '',
    asked: () => asked,
    askers: () => askers.size
  }
}

/** A real libp2p node of the mesh that does nothing by itself until `start`. */
async function hostileNode(
  fixture: Pick<MeshFixture, 'onDispose'>
): Promise<{ host: MeshHost; start: () => Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-hostile-'))
  const { host, datastore } = await createHost({
    privateKey: await generateKeyPair('Ed25519'),
    directory,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    announce: [],
    maxPeers: 100,
    admissions: new Admissions({
      policy: secretsAlone([]),
      maxPeers: 100,
      isBanned: () => false,
      onRefused: () => {}
    }),
    gater: { denyDialMultiaddr: () => false },
    tagRules: tagRecordRules(async () => {
      throw new Error('none')
    })
  })
  fixture.onDispose(async () => {
    await host.stop()
    await datastore.close()
    await rm(directory, { recursive: true, force: true })
  })
  return { host, start: async () => await host.start() }
}

/** A real libp2p node that is a member of the mesh and answers the requests of one protocol as a test wants. */
export async function hostileHost(
  fixture: Pick<MeshFixture, 'onDispose'>,
  { protocol, answer }: { protocol: string; answer: (request: Uint8Array, peerId: string) => Uint8Array }
): Promise<{ host: MeshHost; peerId: string; dial(to: TestNode): Promise<void> }> {
  const { host, start } = await hostileNode(fixture)
  await serve(host, protocol, async (peerId, request) => answer(request, peerId), UNBOUNDED)
  await start()
  return {
    host,
    peerId: host.peerId.toString(),
    dial: async (to) => void (await host.dial(to.mesh.addresses.map((address) => multiaddr(address))))
  }
}
