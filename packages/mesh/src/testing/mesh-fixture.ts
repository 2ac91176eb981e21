import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BlobReader, type ContentStore, openContentStore } from '@layermesh/content'
import {
  type Digest,
  digestAlgorithm,
  digestHex,
  digestOf,
  OciError,
  ownRepository,
  type Repository
} from '@layermesh/oci'
import { openTrustedTagRecord, peerIdOf, TrustPolicy } from '@layermesh/trust'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import type {
  MembershipPolicy,
  MeshObserver,
  NoticeBoard,
  PrefetchHandler,
  Received,
  RefusalReason,
  TagHandler
} from '../interfaces.ts'
import { Mesh, type MeshOptions } from '../mesh.ts'
import { secretsAlone } from '../network/membership.ts'
import type { Resolve } from '../network/supervisor.ts'
import { MemoryBoard } from './memory-board.ts'
import { PatientClock } from './patient-clock.ts'

/** What the mesh told of peers and pieces, for a test to look at. */
export class RecordingObserver implements MeshObserver {
  readonly bans: { peerId: string; reason: string }[] = []
  readonly failures: { peerId: string; reason: string }[] = []
  readonly refusals: { peerId?: string; reason: RefusalReason; detail: string }[] = []
  providersFound = 0
  /** From peers. */
  receivedBytes = 0
  upstreamBytes = 0
  sentBytes = 0

  received({ source, bytes }: Received): void {
    if (source === 'peer') this.receivedBytes += bytes
    else this.upstreamBytes += bytes
  }
  sent({ bytes }: { bytes: number }): void {
    this.sentBytes += bytes
  }
  pieceFailed({ peerId, reason }: { peerId: string; reason: string }): void {
    this.failures.push({ peerId, reason })
  }
  banned({ peerId, reason }: { peerId: string; reason: string }): void {
    this.bans.push({ peerId, reason })
  }
  refused(event: { peerId?: string; reason: RefusalReason; detail: string }): void {
    this.refusals.push(event)
  }
  providerFound(): void {
    this.providersFound++
  }
  peerConnected(): void {}
  peerDisconnected(): void {}
}

export interface TestNode {
  readonly mesh: Mesh
  readonly content: ContentStore
  readonly observer: RecordingObserver
  readonly privateKey: PrivateKey
  /** Where the store keeps a whole blob, for a test that spoils the disk. */
  blobFile(digest: Digest): string
}

const repository: Repository = ownRepository('team/app')
/** Answers nothing: these tests are about blobs. */
export const silentTags: TagHandler = {
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

/** Fetches nothing for anybody. */
const noPrefetches: PrefetchHandler = {
  fetch: () => {
    throw new OciError('DENIED', 'fetches nothing for others')
  }
}

/** Meshes in this process, each with a store of its own; all is gone after `dispose`. */
export class MeshFixture implements AsyncDisposable {
  readonly repository = repository
  readonly #clock = new PatientClock()
  readonly #started: (() => Promise<void>)[] = []

  /** @param seeds peer ids whose piece maps are believed; a node always believes itself */
  async node(
    options: Partial<MeshOptions> & {
      seeds?: readonly string[]
      tagHandler?: TagHandler
      prefetchHandler?: PrefetchHandler
      privateKey?: PrivateKey
      /** The store of a node that was stopped, for its next life. */
      content?: ContentStore
      resolve?: Resolve
      board?: NoticeBoard
      membership?: MembershipPolicy
    } = {}
  ): Promise<TestNode> {
    const directory = await mkdtemp(join(tmpdir(), 'layermesh-mesh-'))
    this.#started.push(() => rm(directory, { recursive: true, force: true }))
    const privateKey = options.privateKey ?? (await generateKeyPair('Ed25519'))
    const content = options.content ?? (await openContentStore(join(directory, 'content')))
    if (!options.content) this.#started.push(() => content.close())
    const observer = new RecordingObserver()
    const seeds = options.seeds ?? []
    const trust = new TrustPolicy(seeds.map((peerId) => ({ peerId })))
    const mesh = await Mesh.create(
      {
        content,
        privateKey,
        observer,
        log: { debug: () => {}, warn: () => {} },
        openTrustedRecord: async (envelope) => (await openTrustedTagRecord(envelope, trust)).record,
        mayVouch: (signer) => seeds.includes(signer) || signer === peerIdOf(privateKey),
        seeds: () => seeds,
        membership: options.membership ?? secretsAlone([]),
        board: options.board ?? new MemoryBoard(),
        now: () => this.#clock.now(),
        ...(options.resolve === undefined ? {} : { resolve: options.resolve })
      },
      {
        directory: join(directory, 'libp2p'),
        listen: ['/ip4/127.0.0.1/tcp/0'],
        announce: [],
        join: [],
        maxPeers: 100,
        self: { version: 'test', role: 'node', zone: 'default' },
        findWithinMs: 2_000,
        ...options
      }
    )
    this.#started.push(() => mesh.stop())
    await mesh.start(options.tagHandler ?? silentTags, options.prefetchHandler ?? noPrefetches)
    const blobFile = (digest: Digest) => {
      const hex = digestHex(digest)
      return join(directory, 'content', 'blobs', digestAlgorithm(digest), hex.slice(0, 2), hex)
    }
    return { mesh, content, observer, privateKey, blobFile }
  }

  onDispose(end: () => Promise<void>): void {
    this.#started.push(end)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#started.splice(0).reverse()) await end()
    this.#clock[Symbol.dispose]()
  }
}

/** Bytes that look random but are the same in each run. */
export function someBytes(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  let state = seed
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

/** Pushes bytes into a store as a client would, and links them. */
export async function store(content: ContentStore, bytes: Uint8Array): Promise<Digest> {
  const digest = digestOf(bytes)
  const upload = await content.uploads.create(repository)
  await upload.append(chunks(bytes))
  await upload.commit(digest)
  return digest
}

async function* chunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.byteLength; offset += 65_536) yield bytes.subarray(offset, offset + 65_536)
}

export async function readAll(reader: BlobReader | undefined, signal?: AbortSignal): Promise<Buffer> {
  if (!reader) throw new Error('there is no such blob')
  const parts: Uint8Array[] = []
  for await (const chunk of reader.read({ start: 0, end: reader.size }, signal)) parts.push(chunk)
  return Buffer.concat(parts)
}

/** Waits until a condition holds; the test's own time limit ends a wait in vain. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10))
}
