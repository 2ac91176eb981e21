import { malformed } from './payload.ts'

/** What many records say of themselves: which of several statements they are, and how long they hold. */

const PEER_ID = /^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/
const ID = /^[A-Za-z0-9]{1,64}$/

/** @throws {TrustError} RECORD_MALFORMED */
export function checkSequence({ sequence }: { readonly sequence: number }): void {
  if (!isNatural(sequence) || sequence === 0) throw malformed('sequence must be 1 or more')
}

/** Times in ms since 1970. @throws {TrustError} RECORD_MALFORMED */
export function checkLifetime({
  issuedAt,
  expiresAt
}: {
  readonly issuedAt: number
  readonly expiresAt: number
}): void {
  if (!isNatural(issuedAt)) throw malformed('issuedAt must be a time in ms')
  if (!isNatural(expiresAt) || expiresAt <= issuedAt) throw malformed('expiresAt must be a time in ms after issuedAt')
}

/** Whether a text is a peer id of an Ed25519 key in its usual spelling: no other key is a node's. */
export function isPeerId(text: string): boolean {
  return PEER_ID.test(text)
}

/** @throws {TrustError} RECORD_MALFORMED */
export function checkPeerId(peerId: string): void {
  if (!isPeerId(peerId)) throw malformed(`${JSON.stringify(peerId.slice(0, 100))} is no peer id of an Ed25519 key`)
}

/** Ids that nodes make: up to 64 letters and digits. @throws {TrustError} RECORD_MALFORMED */
export function checkId(id: string): void {
  if (!ID.test(id)) throw malformed('an id has 1 to 64 letters and digits')
}

/**
 * Bounds a list whose entries stand in order, each once, so that there is one spelling of it.
 * @throws {TrustError} RECORD_MALFORMED
 */
export function checkSorted(
  entries: readonly string[],
  name: string,
  maxEntries: number,
  check: (entry: string) => void
): void {
  if (entries.length > maxEntries) throw malformed(`${name} has at most ${maxEntries} entries`)
  entries.forEach((entry, index) => {
    check(entry)
    if (index > 0 && entry <= (entries[index - 1] ?? '')) throw malformed(`${name} must be sorted, each entry once`)
  })
}

/** Whole, 0 or more, and exact as a number. */
export function isNatural(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}
