/**
 * A thread that reads files and hashes what it read. It reads with the descriptors of the main thread (descriptors
 * belong to the process), so that no byte has to be copied from one thread to another: a verified piece is handed over
 * with its memory, and a running hash follows a file that is being written through the page cache.
 */
import { createHash, type Hash } from 'node:crypto'
import { readSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import type { DigestAlgorithm } from '@layermesh/oci'
import { checksumsOf, type WantedChecksums } from './checksums.ts'
import type { MacNonce } from './piece-checks.ts'

/** What a hashing thread is asked. Positions and lengths are in bytes. */
export type HashJob =
  | ReadJob
  | CheckJob
  /** Hashes each piece of `start` up to `end` by itself. */
  | HashPiecesJob
  /** Begins a running hash. */
  | { readonly kind: 'open'; readonly stream: number; readonly algorithm: DigestAlgorithm }
  | ExtendJob
  /** Answers with the hash. The running hash is gone. */
  | { readonly kind: 'finish'; readonly stream: number }
  | { readonly kind: 'drop'; readonly stream: number }

/** Reads `length` bytes, fewer when the file ends before, and computes what is wanted of them. */
export interface ReadJob {
  readonly kind: 'read'
  readonly fd: number
  readonly position: number
  readonly length: number
  readonly want: WantedChecksums
  /** Memory to read into, if there is enough of it; it comes back with the bytes. */
  readonly spare?: ArrayBuffer
}

/** Hashes bytes and makes their MAC, and takes them into a running hash if one is named. The bytes come back too. */
export interface CheckJob {
  readonly kind: 'check'
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly mac: MacNonce
  readonly stream?: number
}

/** Takes a running hash from where it is up to `to`; with `pieceLength`, hashes each piece of that by itself too. */
export interface ExtendJob {
  readonly kind: 'extend'
  readonly stream: number
  readonly fd: number
  readonly to: number
  readonly pieceLength?: number
}

export interface HashPiecesJob {
  readonly kind: 'pieces'
  readonly fd: number
  readonly start: number
  readonly end: number
  readonly pieceLength: number
}

export interface HashResult {
  /** What was read or checked. */
  readonly bytes?: Uint8Array<ArrayBuffer>
  readonly hash?: Uint8Array
  readonly mac?: Uint8Array
  /** SHA-256 of pieces, 32 bytes each. */
  readonly pieces?: Uint8Array
}

export interface HashReply {
  readonly id: number
  readonly result?: HashResult
  readonly error?: { readonly message: string; readonly code: string | undefined }
}

interface Stream {
  readonly hash: Hash
  position: number
}

/** What a hashing thread is given when it starts. */
export interface HashThreadData {
  readonly macKey: Uint8Array
}

const { macKey } = workerData as HashThreadData
const streams = new Map<number, Stream>()
// Small enough to stay in the processor's cache between reading and hashing.
const buffer = new Uint8Array(256 * 1024)

function run(job: HashJob): HashResult {
  switch (job.kind) {
    case 'read':
      return read(job)
    case 'check':
      return check(job)
    case 'pieces':
      return { pieces: hashPieces(job) }
    case 'open':
      streams.set(job.stream, { hash: createHash(job.algorithm), position: 0 })
      return {}
    case 'extend':
      return extend(job)
    case 'finish':
      return { hash: finish(job.stream) }
    case 'drop':
      streams.delete(job.stream)
      return {}
  }
}

function read({ fd, position, length, want, spare }: ReadJob): HashResult {
  const memory = spare !== undefined && spare.byteLength >= length ? spare : new ArrayBuffer(length)
  const whole = new Uint8Array(memory, 0, length)
  let filled = 0
  while (filled < length) {
    const got = readSync(fd, whole, filled, length - filled, position + filled)
    if (got === 0) break
    filled += got
  }
  const bytes = whole.subarray(0, filled)
  return { bytes, ...checksumsOf(bytes, want, macKey) }
}

function check({ bytes, mac, stream }: CheckJob): HashResult {
  if (stream !== undefined) {
    const running = streamOf(stream)
    running.hash.update(bytes)
    running.position += bytes.byteLength
  }
  return { bytes, ...checksumsOf(bytes, { hash: true, mac }, macKey) }
}

function hashPieces(
  { fd, start, end, pieceLength }: Omit<HashPiecesJob, 'kind'>,
  take: (chunk: Uint8Array) => void = () => {}
): Uint8Array {
  const hashes: Uint8Array[] = []
  for (let from = start; from < end; from += pieceLength) {
    const piece = createHash('sha256')
    eachChunk(fd, from, Math.min(from + pieceLength, end), (chunk) => {
      piece.update(chunk)
      take(chunk)
    })
    hashes.push(piece.digest())
  }
  return Buffer.concat(hashes)
}

function extend({ stream, fd, to, pieceLength }: ExtendJob): HashResult {
  const running = streamOf(stream)
  const take = (chunk: Uint8Array) => running.hash.update(chunk)
  const pieces =
    pieceLength === undefined
      ? eachChunk(fd, running.position, to, take)
      : hashPieces({ fd, start: running.position, end: to, pieceLength }, take)
  running.position = to
  return pieces === undefined ? {} : { pieces }
}

function finish(id: number): Uint8Array {
  const { hash } = streamOf(id)
  streams.delete(id)
  return hash.digest()
}

function streamOf(id: number): Stream {
  const stream = streams.get(id)
  if (stream === undefined) throw new Error('this running hash is not known to this thread')
  return stream
}

function eachChunk(fd: number, start: number, end: number, take: (chunk: Uint8Array) => void): void {
  for (let at = start; at < end; ) {
    const got = readSync(fd, buffer, 0, Math.min(buffer.byteLength, end - at), at)
    if (got === 0) throw new Error('the file is shorter than it should be')
    take(buffer.subarray(0, got))
    at += got
  }
}

function answer(id: number, job: HashJob): void {
  try {
    const result = run(job)
    const reply: HashReply = { id, result }
    parentPort?.postMessage(reply, result.bytes === undefined ? [] : [result.bytes.buffer])
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException
    const reply: HashReply = { id, error: { message, code } }
    parentPort?.postMessage(reply)
  }
}

parentPort?.on('message', ({ id, job }: { id: number; job: HashJob }) => answer(id, job))
