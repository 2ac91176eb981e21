import type { PrivateKey } from '@libp2p/interface'
import { isTrustError } from './errors.ts'
import {
  asFields,
  asText,
  bytesField,
  listField,
  malformed,
  numberField,
  type PayloadFields,
  textField,
  type UncheckedFields
} from './payload.ts'
import { RepositoryPattern } from './repository-pattern.ts'
import { openRecord, type RecordForm, sealRecord } from './signed-record.ts'
import { checkId, checkLifetime, checkPeerId, checkSequence, checkSorted } from './statement.ts'

/** What a key may do in the repositories of a scope; in a record they stand in this order. */
export const SCOPE_ACTIONS = ['pull', 'create', 'update', 'delete'] as const
export type ScopeAction = (typeof SCOPE_ACTIONS)[number]

/** Part of what an API key may do. */
export interface ApiKeyScope {
  /** A pattern of repositories, as in `trust`. */
  readonly repositories: string
  /** One or more, each once. */
  readonly actions: readonly ScopeAction[]
}

/** An API key as nodes know it: whoever shows the secret with this hash is its user, within its scopes. */
export interface ApiKey {
  /** Public part of the key, 1 to 64 letters and digits. */
  readonly id: string
  /** SHA-256 of the secret part, 32 bytes. */
  readonly hash: Uint8Array
  /** What it is for, for people; up to 128 characters. */
  readonly name: string
  /** Whose it is, up to 256 characters. */
  readonly user: string
  readonly scopes: readonly ApiKeyScope[]
  /** In ms since 1970. */
  readonly createdAt: number
  /** From this moment on it is worth nothing. */
  readonly expiresAt: number
}

/** What a seed says of who may not take part, and of the API keys that it has given out. */
export interface Roster {
  /** 1 or more; grows with each roster of this signer. */
  readonly sequence: number
  /** In ms since 1970. */
  readonly issuedAt: number
  /** From this moment on its API keys count no more; what it revokes stays revoked. */
  readonly expiresAt: number
  /** Peer ids that are kept out of the mesh. */
  readonly revokedPeers: readonly string[]
  /** Ids of admission tickets, whoever signed them. */
  readonly revokedTickets: readonly string[]
  /** Ids of API keys that another seed gave out. */
  readonly revokedKeys: readonly string[]
  readonly apiKeys: readonly ApiKey[]
}

/** A roster whose signature holds, and the peer id that signed it. */
export interface OpenedRoster {
  readonly roster: Roster
  readonly signer: string
}

/** The longest envelope of a roster, in bytes: with it a message of the mesh stays below 1 MiB. */
export const MAX_ROSTER_BYTES = 1_000_000
/** The most entries in each of its lists. */
export const MAX_ROSTER_ENTRIES = 4_096
const MAX_SCOPES = 16
const HASH_BYTES = 32
const MAX_NAME_LENGTH = 128
const MAX_USER_LENGTH = 256
/** What would move the cursor of a terminal, or make one line of a log two. */
const CONTROL = /\p{Cc}|\p{Zl}|\p{Zp}|\p{Bidi_Control}/u

const FORM: RecordForm<Roster> = {
  domain: 'layermesh-roster',
  payloadType: '/layermesh/roster/1',
  maxEnvelopeBytes: MAX_ROSTER_BYTES,
  fields: payloadFields,
  read: readRoster,
  check: checkRoster
}

/**
 * Signs a roster; its lists may come in any order.
 * @throws {TrustError} RECORD_MALFORMED, RECORD_TOO_LARGE when {@link openRoster} would refuse it
 */
export async function sealRoster(roster: Roster, privateKey: PrivateKey): Promise<Uint8Array> {
  const sorted = {
    ...roster,
    revokedPeers: [...roster.revokedPeers].sort(),
    revokedTickets: [...roster.revokedTickets].sort(),
    revokedKeys: [...roster.revokedKeys].sort(),
    apiKeys: [...roster.apiKeys].sort((a, b) => (a.id < b.id ? -1 : 1))
  }
  return await sealRecord(FORM, sorted, privateKey)
}

/**
 * Reads a roster of a signer who may sign any, and checks its form and signature; not its times.
 * @throws {TrustError} RECORD_MALFORMED, SIGNATURE_INVALID, SIGNER_NOT_TRUSTED
 */
export async function openRoster(envelope: Uint8Array, maySign: (signer: string) => boolean): Promise<OpenedRoster> {
  const { record: roster, signer } = await openRecord(FORM, envelope, maySign)
  return { roster, signer }
}

function payloadFields(roster: Roster): PayloadFields {
  const { sequence, issuedAt, expiresAt, revokedPeers, revokedTickets, revokedKeys } = roster
  const apiKeys = roster.apiKeys.map(({ id, hash, name, user, scopes, createdAt, expiresAt }) => ({
    id,
    hash,
    name,
    user,
    scopes: scopes.map(({ repositories, actions }) => ({ repositories, actions })),
    createdAt,
    expiresAt
  }))
  return { sequence, issuedAt, expiresAt, revokedPeers, revokedTickets, revokedKeys, apiKeys }
}

function readRoster(fields: UncheckedFields): Roster {
  return {
    sequence: numberField(fields, 'sequence'),
    issuedAt: numberField(fields, 'issuedAt'),
    expiresAt: numberField(fields, 'expiresAt'),
    revokedPeers: listField(fields, 'revokedPeers', MAX_ROSTER_ENTRIES, asText),
    revokedTickets: listField(fields, 'revokedTickets', MAX_ROSTER_ENTRIES, asText),
    revokedKeys: listField(fields, 'revokedKeys', MAX_ROSTER_ENTRIES, asText),
    apiKeys: listField(fields, 'apiKeys', MAX_ROSTER_ENTRIES, (item) => readApiKey(asFields(item)))
  }
}

function readApiKey(fields: UncheckedFields): ApiKey {
  return {
    id: textField(fields, 'id'),
    hash: bytesField(fields, 'hash'),
    name: textField(fields, 'name'),
    user: textField(fields, 'user'),
    scopes: listField(fields, 'scopes', MAX_SCOPES, (item) => readScope(asFields(item))),
    createdAt: numberField(fields, 'createdAt'),
    expiresAt: numberField(fields, 'expiresAt')
  }
}

function readScope(fields: UncheckedFields): ApiKeyScope {
  const actions = listField(fields, 'actions', SCOPE_ACTIONS.length, asText)
  return { repositories: textField(fields, 'repositories'), actions: actions as ScopeAction[] }
}

function checkRoster(roster: Roster): void {
  checkSequence(roster)
  checkLifetime(roster)
  checkSorted(roster.revokedPeers, 'revokedPeers', MAX_ROSTER_ENTRIES, checkPeerId)
  checkSorted(roster.revokedTickets, 'revokedTickets', MAX_ROSTER_ENTRIES, checkId)
  checkSorted(roster.revokedKeys, 'revokedKeys', MAX_ROSTER_ENTRIES, checkId)
  const keyIds = roster.apiKeys.map(({ id }) => id)
  checkSorted(keyIds, 'apiKeys', MAX_ROSTER_ENTRIES, checkId)
  for (const key of roster.apiKeys) checkApiKey(key)
}

function checkApiKey({ hash, name, user, scopes, createdAt, expiresAt }: ApiKey): void {
  if (hash.byteLength !== HASH_BYTES) throw malformed(`hash must have ${HASH_BYTES} bytes`)
  checkText(name, 'name', MAX_NAME_LENGTH)
  checkText(user, 'user', MAX_USER_LENGTH)
  if (user === '') throw malformed('user must not be empty')
  checkLifetime({ issuedAt: createdAt, expiresAt })
  if (scopes.length === 0 || scopes.length > MAX_SCOPES) throw malformed(`a key has 1 to ${MAX_SCOPES} scopes`)
  for (const scope of scopes) checkScope(scope)
}

function checkScope({ repositories, actions }: ApiKeyScope): void {
  const known = SCOPE_ACTIONS.filter((action) => actions.includes(action))
  if (known.length === 0 || known.join() !== actions.join()) {
    throw malformed(`actions must be some of ${SCOPE_ACTIONS.join(', ')}, in this order`)
  }
  try {
    new RepositoryPattern(repositories)
  } catch (error) {
    throw isTrustError(error) ? malformed('repositories must be a pattern of repositories', error) : error
  }
}

function checkText(text: string, name: string, maxLength: number): void {
  if (text.length <= maxLength && !CONTROL.test(text)) return
  throw malformed(`${name} must be a line of at most ${maxLength} characters`)
}
