import type { AnswerHeaders } from '../http/answer.ts'

/** Which bytes an answer brings, of how many. */
export interface Part {
  /** Offset of its first byte. */
  readonly start: number
  /** Length of the whole blob. */
  readonly size: number
}

const CONTENT_RANGE = /^bytes ([0-9]{1,15})-([0-9]{1,15})\/([0-9]{1,15})$/
const UNSATISFIED = /^bytes \*\/([0-9]{1,15})$/

/** What a 200 brings; undefined when it does not tell its length. */
export function wholeOf(headers: AnswerHeaders): Part | undefined {
  const size = headers.length
  return size === undefined ? undefined : { start: 0, size }
}

/** What a 206 brings, if that goes to the end (RFC 9110 §14.4). */
export function partOf(headers: AnswerHeaders): Part | undefined {
  const [, first, last, total] = CONTENT_RANGE.exec(headers.get('content-range') ?? '') ?? []
  const part = { start: Number(first), size: Number(total) }
  if (first === undefined || part.start >= part.size || Number(last) !== part.size - 1) return undefined
  return headers.length === undefined || headers.length === part.size - part.start ? part : undefined
}

/** The size of the whole blob that a 206 tells, whatever part it brings. */
export function sizeOfPart(headers: AnswerHeaders): number | undefined {
  const [, , , total] = CONTENT_RANGE.exec(headers.get('content-range') ?? '') ?? []
  return total === undefined ? undefined : Number(total)
}

/** The size that a 416 tells. */
export function sizeOfUnsatisfied(headers: AnswerHeaders): number | undefined {
  const [, total] = UNSATISFIED.exec(headers.get('content-range') ?? '') ?? []
  return total === undefined ? undefined : Number(total)
}
