import {
  type Descriptor,
  type Digest,
  digestAlgorithm,
  digestHex,
  MEDIA_TYPE,
  parseManifest,
  parseTag,
  type Tag
} from '@layermesh/oci'
import { sendJson } from '../answer.ts'
import { locate, type RepositoryExchange, type Services } from '../exchange.ts'
import { type PageRequest, readPage, setNextLink } from '../paging.ts'

/** GET /v2/NAME/referrers/DIGEST (distribution-spec §Listing Referrers); a subject that nobody knows has an empty list. */
export async function listReferrers(services: Services, exchange: RepositoryExchange, subject: Digest): Promise<void> {
  const { repository, query, response, signal } = exchange
  const page = readPage(query, services.options.maxPageSize)
  const [known, tagged] = await Promise.all([
    services.backend.manifests.referrers(repository, subject, signal),
    referrersByTag(services, exchange, subject)
  ])
  signal.throwIfAborted()
  const artifactType = query.get('artifactType') || undefined
  const all = merge(known, tagged).filter((entry) => artifactType === undefined || entry.artifactType === artifactType)
  const { entries, last } = cut(all, page, services.options.maxReferrersBytes)
  if (artifactType !== undefined) response.setHeader('OCI-Filters-Applied', 'artifactType')
  if (last !== undefined) {
    const n = query.get('n')
    setNextLink(response, locate(exchange, `referrers/${subject}`, { artifactType, n, last }))
  }
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: entries }
  sendJson(response, index, { 'Content-Type': MEDIA_TYPE.ociIndex })
}

/**
 * What clients wrote down themselves under the fallback tag while a registry had no referrers API (distribution-spec
 * §Referrers Tag Schema). Only a help: when it can't be read, the list goes without.
 */
async function referrersByTag(
  { backend, log }: Services,
  { repository, signal }: RepositoryExchange,
  subject: Digest
): Promise<readonly Descriptor[]> {
  try {
    const resolved = await backend.tags.resolve(repository, fallbackTag(subject), signal)
    const stored = resolved && (await backend.manifests.get(repository, resolved.digest, signal))
    if (stored === undefined) return []
    const manifest = parseManifest(stored.bytes)
    return manifest.kind === 'index' ? manifest.manifests : []
  } catch (error) {
    if (!signal.aborted)
      log.debug({ repository, subject, err: error }, 'the fallback tag of referrers could not be read')
    return []
  }
}

const MAX_ALGORITHM_LENGTH = 32
const MAX_ENCODED_LENGTH = 64

function fallbackTag(subject: Digest): Tag {
  const algorithm = digestAlgorithm(subject).slice(0, MAX_ALGORITHM_LENGTH)
  return parseTag(`${algorithm}-${digestHex(subject).slice(0, MAX_ENCODED_LENGTH)}`)
}

/** One entry for each digest, by digest, so that pages are stable. What the registry read itself comes first. */
function merge(known: readonly Descriptor[], tagged: readonly Descriptor[]): Descriptor[] {
  const byDigest = new Map([...tagged, ...known].map((entry) => [entry.digest, entry]))
  return [...byDigest.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1))
}

/** As many entries as the page may hold by number and by bytes, but at least one. */
function cut(
  all: readonly Descriptor[],
  { after, limit }: PageRequest,
  maxBytes: number
): { entries: readonly Descriptor[]; last?: Digest } {
  const rest = after === undefined ? all : all.filter((entry) => entry.digest > after)
  const entries: Descriptor[] = []
  let bytes = 0
  for (const entry of rest.slice(0, limit)) {
    bytes += Buffer.byteLength(JSON.stringify(entry))
    if (bytes > maxBytes && entries.length > 0) break
    entries.push(entry)
  }
  const last = entries.at(-1)?.digest
  return last !== undefined && entries.length < rest.length ? { entries, last } : { entries }
}
