import type { PeerSummary, TransferSource, TransferSummary } from '@layermesh/mesh'
import { isDigest, parseRepository, parseTag } from '@layermesh/oci'
import { z } from 'zod'
import type {
  ImageSummary,
  NodePrefetch,
  NodeStatus,
  PrefetchResult,
  PullEvent,
  PullProgress,
  PullResult
} from './view.ts'

/*
 * The shapes of the admin API, from which its OpenAPI description is made. The types of the house come first; that both
 * agree is checked by the compiler here and against real answers in the tests.
 */

type Shape<T> = z.ZodType<T, unknown>

export const MAX_DEADLINE_MS = 24 * 60 * 60 * 1000
const DIGEST_PATTERN = '^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$'

const bytes = z.int().min(0)
const time = z.iso.datetime()
const digest = z.string().refine(isDigest).meta({ pattern: DIGEST_PATTERN })
const repository = z.string().refine(succeeds(parseRepository)).transform(parseRepository)
const tag = z.string().refine(succeeds(parseTag)).transform(parseTag)

const source = z.union([
  z.strictObject({ peerId: z.string(), bytes }),
  z.strictObject({ origin: z.string().describe('A registry outside the mesh.'), bytes })
]) satisfies Shape<TransferSource>

export const statusSchema = z.strictObject({
  peerId: z.string(),
  role: z.enum(['seed', 'node']),
  zone: z.string(),
  version: z.string(),
  startedAt: time,
  meshAddresses: z.array(z.string()).describe('Full multiaddrs to join through.'),
  registry: z.url().describe('Where the /v2/ API is.'),
  mirror: z.exactOptional(z.url()).describe('Where the mirror is, which only gives and asks nobody who they are.'),
  peers: z.int().min(0).describe('How many peers are connected.'),
  store: z.strictObject({
    blobs: z.int().min(0).describe('Blobs that are wholly here.'),
    bytes: bytes.describe('Sum of the lengths of whole and partial blobs on disk.'),
    arriving: z.int().min(0).describe('Blobs that are arriving.'),
    freeBytes: z.exactOptional(bytes).describe('Space left on the disk.'),
    limitBytes: z.exactOptional(bytes).describe('What the store may take up; missing without a quota.'),
    minFreeBytes: bytes.describe('What must stay free on the disk.'),
    pinnedBytes: bytes.describe('Sum of the lengths of blobs here that stay since they are pinned.'),
    full: z.boolean().describe('Whether something was refused for want of space, and there is none yet.')
  }),
  ready: z.boolean(),
  notReady: z.array(z.string()).describe('Why it is not ready.')
}) satisfies Shape<NodeStatus>

export const peerSchema = z.strictObject({
  peerId: z.string(),
  addresses: z.array(z.string()),
  direction: z.enum(['inbound', 'outbound']),
  zone: z.string(),
  role: z.enum(['seed', 'node']),
  version: z.string(),
  roundTripMs: z.exactOptional(z.number()).describe('Smoothed round trip.'),
  receivedBytes: bytes,
  sentBytes: bytes
}) satisfies Shape<PeerSummary>

export const imageSchema = z.strictObject({
  repository,
  tag,
  digest,
  size: bytes.describe('Length of the manifest and of all that it names, as far as that is known here.'),
  signedBy: z.string().describe('Peer id of the signer.'),
  sequence: z.int(),
  confirmedAt: time.describe('When an authority last confirmed it.'),
  complete: z.boolean().describe('Whether all of it is here.')
}) satisfies Shape<ImageSummary>

export const transferSchema = z.strictObject({
  digest,
  size: bytes,
  heldBytes: bytes,
  sources: z.array(source).describe('Where the payload came from so far.')
}) satisfies Shape<TransferSummary>

const pullProgressSchema = z.strictObject({
  digest,
  mediaType: z.string(),
  size: bytes,
  heldBytes: bytes,
  sources: z.array(source)
}) satisfies Shape<PullProgress>

const pullResultSchema = z.strictObject({
  repository,
  tag: z.exactOptional(tag),
  digest,
  mediaType: z.string(),
  size: bytes,
  receivedBytes: bytes.describe('What this pull took in; the rest was here before.'),
  sources: z.array(source)
}) satisfies Shape<PullResult>

const failureSchema = z.strictObject({ code: z.string(), message: z.string() })
export const errorSchema = z.strictObject({ error: failureSchema })

export const pullEventSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('progress'), progress: pullProgressSchema }),
  z.strictObject({ type: z.literal('done'), result: pullResultSchema }),
  z.strictObject({ type: z.literal('error'), error: failureSchema })
]) satisfies Shape<PullEvent>

export const nodePrefetchSchema = z.strictObject({
  peerId: z.string(),
  zone: z.string(),
  state: z.enum(['connecting', 'waiting', 'fetching', 'lost', 'done', 'failed']),
  size: bytes.describe('Length of all parts as far as they are known.'),
  heldBytes: bytes,
  receivedBytes: bytes.describe('What was taken in for this.'),
  digest: z.exactOptional(digest),
  error: z.exactOptional(failureSchema)
}) satisfies Shape<NodePrefetch>

export const prefetchResultSchema = z.strictObject({
  nodes: z.int().min(0),
  failed: z.int().min(0)
}) satisfies Shape<PrefetchResult>

/** Events of an action that tells how far it is. */
export function eventSchema(progress: z.ZodType, result: z.ZodType): z.ZodType {
  return z.discriminatedUnion('type', [
    z.strictObject({ type: z.literal('progress'), progress }),
    z.strictObject({ type: z.literal('done'), result }),
    z.strictObject({ type: z.literal('error'), error: failureSchema })
  ])
}

export const pullRequestSchema = z.strictObject({
  reference: z.string().describe('`[host/]name[:tag][@digest]`'),
  deadlineMs: z
    .exactOptional(z.int().min(1).max(MAX_DEADLINE_MS))
    .describe('After so long the answer ends with an error; what came by then is kept.')
})

function succeeds(parse: (text: string) => unknown): (text: string) => boolean {
  return (text) => {
    try {
      parse(text)
      return true
    } catch {
      return false
    }
  }
}
