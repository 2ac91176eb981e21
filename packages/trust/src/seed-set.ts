import type { PrivateKey } from '@libp2p/interface'
import { isTrustError } from './errors.ts'
import {
  asFields,
  asText,
  listField,
  malformed,
  numberField,
  type PayloadFields,
  textField,
  type UncheckedFields
} from './payload.ts'
import { RepositoryPattern } from './repository-pattern.ts'
import { formatRecord, openRecord, parseRecord, type RecordForm, sealRecord } from './signed-record.ts'
import { checkLifetime, checkPeerId, checkSequence, checkSorted, isNatural } from './statement.ts'

/** A peer that may sign, by the word of the root. */
export interface SeedGrant {
  readonly peerId: string
  /** Patterns of what it may sign for, as in `trust`; one or more. */
  readonly repositories: readonly string[]
  /** From this moment on nothing that it signs or ever signed counts, in ms since 1970; it is about to retire. */
  readonly notAfter?: number
}

/** What the offline root key says of who may sign. */
export interface SeedSet {
  /** 1 or more; grows with each set of this root. */
  readonly sequence: number
  /** In ms since 1970. */
  readonly issuedAt: number
  /** From this moment on it lets no node trust a seed that did not do so by this set before; what it revokes stays revoked. */
  readonly expiresAt: number
  readonly seeds: readonly SeedGrant[]
  /** Peer ids whose word counts no more, whoever said that it does. */
  readonly revoked: readonly string[]
}

/** A set whose signature holds, and the peer id of the root that signed it. */
export interface OpenedSeedSet {
  readonly set: SeedSet
  readonly root: string
}

/** The longest envelope of a seed set, in bytes: in base64 it fits into a request of 16 KiB. */
export const MAX_SEED_SET_BYTES = 11_264
const MAX_SEEDS = 64
const MAX_REVOKED = 128
const MAX_PATTERNS = 64

const FORM: RecordForm<SeedSet> = {
  domain: 'layermesh-seed-set',
  payloadType: '/layermesh/seed-set/1',
  maxEnvelopeBytes: MAX_SEED_SET_BYTES,
  fields: payloadFields,
  read: readSeedSet,
  check: checkSeedSet
}

/**
 * Signs a seed set with the root key; its lists may come in any order.
 * @throws {TrustError} RECORD_MALFORMED when {@link openSeedSet} would refuse it
 */
export async function sealSeedSet(set: SeedSet, rootKey: PrivateKey): Promise<Uint8Array> {
  const sorted = {
    ...set,
    seeds: [...set.seeds].sort((a, b) => (a.peerId < b.peerId ? -1 : 1)),
    revoked: [...set.revoked].sort()
  }
  return await sealRecord(FORM, sorted, rootKey)
}

/**
 * Reads a seed set of a root that may sign one, and checks its form and signature; not its times.
 * @throws {TrustError} RECORD_MALFORMED, SIGNATURE_INVALID, SIGNER_NOT_TRUSTED
 */
export async function openSeedSet(envelope: Uint8Array, isRoot?: (signer: string) => boolean): Promise<OpenedSeedSet> {
  const { record: set, signer: root } = await openRecord(FORM, envelope, isRoot)
  return { set, root }
}

/** A set as it stands in a file: one line of base64url. */
export function formatSeedSet(envelope: Uint8Array): string {
  return formatRecord(envelope)
}

/** @throws {TrustError} RECORD_MALFORMED */
export function parseSeedSet(text: string): Uint8Array {
  return parseRecord(FORM, text, 'seed set')
}

function payloadFields({ sequence, issuedAt, expiresAt, seeds, revoked }: SeedSet): PayloadFields {
  const grants = seeds.map(({ peerId, repositories, notAfter }) => ({
    peerId,
    repositories,
    ...(notAfter === undefined ? {} : { notAfter })
  }))
  return { sequence, issuedAt, expiresAt, seeds: grants, revoked }
}

function readSeedSet(fields: UncheckedFields): SeedSet {
  return {
    sequence: numberField(fields, 'sequence'),
    issuedAt: numberField(fields, 'issuedAt'),
    expiresAt: numberField(fields, 'expiresAt'),
    seeds: listField(fields, 'seeds', MAX_SEEDS, (item) => readGrant(asFields(item))),
    revoked: listField(fields, 'revoked', MAX_REVOKED, asText)
  }
}

function readGrant(fields: UncheckedFields): SeedGrant {
  return {
    peerId: textField(fields, 'peerId'),
    repositories: listField(fields, 'repositories', MAX_PATTERNS, asText),
    ...(fields.has('notAfter') && { notAfter: numberField(fields, 'notAfter') })
  }
}

function checkSeedSet(set: SeedSet): void {
  checkSequence(set)
  checkLifetime(set)
  const peerIds = set.seeds.map(({ peerId }) => peerId)
  checkSorted(peerIds, 'seeds', MAX_SEEDS, checkPeerId)
  checkSorted(set.revoked, 'revoked', MAX_REVOKED, checkPeerId)
  const both = peerIds.find((peerId) => set.revoked.includes(peerId))
  if (both !== undefined) throw malformed(`${both} can not be a seed and be revoked`)
  for (const grant of set.seeds) checkGrant(grant)
}

function checkGrant({ peerId, repositories, notAfter }: SeedGrant): void {
  if (repositories.length === 0 || repositories.length > MAX_PATTERNS) {
    throw malformed(`the seed ${peerId} must have 1 to ${MAX_PATTERNS} patterns of repositories`)
  }
  if (notAfter !== undefined && !isNatural(notAfter)) throw malformed('notAfter must be a time in ms')
  for (const pattern of repositories) checkPattern(pattern)
}

function checkPattern(pattern: string): void {
  try {
    new RepositoryPattern(pattern)
  } catch (error) {
    throw isTrustError(error)
      ? malformed(`${JSON.stringify(pattern.slice(0, 100))} is no pattern of repositories`, error)
      : error
  }
}
