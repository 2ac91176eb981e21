/**
 * A member of the mesh that knows the secret and does all as it should, but gives wrong bytes for some pieces: the node's
 * own mesh over a store that lies. Takes {@link LiarInit} as JSON in argv[2] and prints a {@link LiarLine} for each step.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type BlobStore, type ContentStore, openContentStore } from '@layermesh/content'
import { Mesh, type MeshObserver, secretsAlone, type TagHandler } from '@layermesh/mesh'
import { type Digest, OciError, ownRepository, pieceLengthFor } from '@layermesh/oci'
import { loadOrCreateKey, openTrustedTagRecord, peerIdOf, TrustPolicy } from '@layermesh/trust'

export interface LiarInit {
  readonly directory: string
  readonly join: readonly string[]
  readonly seed: string
  readonly zone: string
  readonly secretFile?: string
  /** The blob that it fetches, shares and lies about. */
  readonly digest: Digest
  readonly size: number
  readonly repository: string
  /** It lies about each piece whose number this divides. */
  readonly everyNth: number
}

export type LiarLine =
  | { readonly did: 'start'; readonly peerId: string; readonly meshAddresses: readonly string[] }
  | { readonly did: 'fetch' }
  | { readonly did: 'lie'; readonly piece: number }

const FIND_WITHIN_MS = 800
const RETRY_MS = 200

function tell(line: LiarLine): void {
  console.log(JSON.stringify(line))
}

/** Says nothing of tags. */
const silent: TagHandler = {
  resolve: async () => ({ confirmedAt: 0, authoritative: false }),
  offer: async () => {},
  listTags: async () => ({ authoritative: false }),
  listRepositories: async () => ({ authoritative: false }),
  listReferrers: async () => ({ descriptors: Buffer.from('[]'), authoritative: false }),
  push: async () => [],
  delete: async () => false,
  authenticate: async () => {
    throw new OciError('UNSUPPORTED', 'makes no tokens')
  },
  complete: async () => {}
}

const unobserved: MeshObserver = {
  received: () => {},
  sent: () => {},
  pieceFailed: () => {},
  banned: () => {},
  peerConnected: () => {},
  peerDisconnected: () => {},
  refused: () => {},
  providerFound: () => {}
}

/** A store whose bytes are right where it is read to be verified, and wrong where they are given to peers. */
function lyingStore(store: ContentStore, init: LiarInit): ContentStore {
  const pieceLength = pieceLengthFor(init.size)
  const readAt: BlobStore['readAt'] = async (digest, range) => {
    const bytes = await store.blobs.readAt(digest, range)
    const piece = Math.floor(range.start / pieceLength)
    if (bytes === undefined || digest !== init.digest || piece % init.everyNth !== 0) return bytes
    tell({ did: 'lie', piece })
    const wrong = Buffer.from(bytes)
    wrong.writeUInt8(wrong.readUInt8(0) ^ 1, 0)
    return wrong
  }
  return withChanges(store, { blobs: withChanges(store.blobs, { readAt }) })
}

/** What behaves as `target` does, but for `changes`. */
function withChanges<T extends object>(target: T, changes: Partial<T>): T {
  return new Proxy(target, {
    get: (original, key) => {
      const value: unknown = Reflect.get(key in changes ? changes : original, key)
      return typeof value === 'function' ? value.bind(original) : value
    }
  })
}

async function startMesh(init: LiarInit, store: ContentStore): Promise<Mesh> {
  const privateKey = await loadOrCreateKey(init.directory)
  const trust = new TrustPolicy([{ peerId: init.seed }])
  const secret = init.secretFile && Buffer.from((await readFile(init.secretFile, 'utf8')).trim(), 'base64url')
  const mesh = await Mesh.create(
    {
      content: lyingStore(store, init),
      privateKey,
      observer: unobserved,
      log: { debug: () => {}, warn: () => {} },
      openTrustedRecord: async (envelope) => (await openTrustedTagRecord(envelope, trust)).record,
      mayVouch: (signer) => signer === init.seed || signer === peerIdOf(privateKey),
      membership: secretsAlone(secret ? [secret] : []),
      board: {
        heads: () => [],
        get: async () => undefined,
        wants: () => false,
        offer: async () => 'refused',
        onChange: () => () => {},
        onSigners: () => () => {}
      },
      seeds: () => [init.seed]
    },
    {
      directory: join(init.directory, 'libp2p'),
      listen: ['/ip4/127.0.0.1/tcp/0'],
      announce: [],
      join: init.join,
      maxPeers: 100,
      self: { version: 'liar', role: 'node', zone: init.zone },
      findWithinMs: FIND_WITHIN_MS
    }
  )
  await mesh.start(silent, {
    fetch: () => {
      throw new Error('fetches nothing for others')
    }
  })
  return mesh
}

/** Fetches the blob as soon as somebody has it; while it comes, and from then on, peers are lied to. */
async function fetchBlob({ digest, repository }: LiarInit, mesh: Mesh, store: ContentStore): Promise<void> {
  const { signal } = new AbortController()
  while ((await store.blobs.stat(digest)) === undefined) {
    try {
      const reader = await mesh.fetch(digest, {}, signal)
      await store.repositories.linkBlobs(ownRepository(repository), [digest])
      if (reader) await store.downloads.whole(digest)
    } catch {
      // Whoever has it may come back.
    }
    await sleep(RETRY_MS)
  }
}

const init = JSON.parse(process.argv[2] ?? '') as LiarInit
const store = await openContentStore(join(init.directory, 'content'))
const mesh = await startMesh(init, store)
process.once('SIGTERM', () => process.exit(0))
tell({ did: 'start', peerId: mesh.peerId, meshAddresses: mesh.addresses })
await fetchBlob(init, mesh, store)
tell({ did: 'fetch' })
