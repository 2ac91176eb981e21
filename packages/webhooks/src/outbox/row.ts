import { definitionOf, EVENTS, type RecordedEvent } from '../events.ts'
import type { PendingEntry } from './pending.ts'

/**
 * An event as it lies in the outbox of an endpoint:
 *
 *     pending/NAME/SEQUENCE   waits for its delivery
 *     dead/NAME/SEQUENCE      was given up
 *     sequence                the last sequence that was given
 *
 * Sequences have 16 digits, so that keys sort like numbers.
 */
export interface Row {
  readonly event: RecordedEvent
  /** How often a delivery was tried. */
  readonly attempts: number
  /** How often the receiver did not want it, which is no outage. @default 0 */
  readonly refusals?: number
  /** Of the last attempt. */
  readonly lastError?: string
  /** When it was given up; RFC 3339. */
  readonly diedAt?: string
}

export type RowKind = 'pending' | 'dead'

export const SEQUENCE_KEY = 'sequence'
const DIGITS = 16

export function rowKey(kind: RowKind, name: string, sequence: number): string {
  return `${kind}/${name}/${String(sequence).padStart(DIGITS, '0')}`
}

/** All rows of a kind, or those of one endpoint. */
export function rowRange(kind: RowKind, name?: string): { gt: string; lt: string } {
  const prefix = name === undefined ? kind : `${kind}/${name}`
  return { gt: `${prefix}/`, lt: `${prefix}0` }
}

/** The endpoint that a row belongs to. */
export function endpointOf(key: string): string {
  return key.split('/')[1] ?? ''
}

export function encodeRow(row: Row): string {
  return JSON.stringify(row)
}

export function decodeRow(text: string): Row {
  return JSON.parse(text) as Row
}

/** What {@link Pending} has to know of a row. An event that an earlier version knew and this one does not is no less worth. */
export function entryOf({ event }: Row, text: string): PendingEntry {
  const known = Object.hasOwn(EVENTS, event.name)
  return { bytes: Buffer.byteLength(text), expendable: known && definitionOf(event.name).expendable === true }
}
