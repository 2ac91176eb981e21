import { isDigest, parseRepository } from '@layermesh/oci'
import { z } from 'zod'
import type { OnVerifyProgress, Verifier, VerifyResult } from '../store/verifier.ts'
import type { Failure } from './errors.ts'
import { type StreamedAction, streamedAction } from './streamed-action.ts'

const count = z.int().min(0)

const countSchema = z.strictObject({
  blobs: count,
  bytes: count,
  ofBlobs: count.describe('How many there were when it began.'),
  ofBytes: count
})

const badBlobSchema = z.strictObject({
  digest: z.string().refine(isDigest).meta({ pattern: '^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$' }),
  size: count,
  repository: z.exactOptional(z.string().refine((text) => parseRepository(text) === text)),
  badPieces: count.describe('0 when the whole file was missing or of another length.'),
  state: z.enum(['fetching', 'repaired', 'lost']),
  reason: z.exactOptional(z.string()).describe('Why it is lost.')
})

const resultSchema = z.strictObject({
  blobs: count,
  bytes: count,
  repaired: count.describe('Blobs that were bad, and were fetched anew.'),
  lost: count.describe('Blobs that were bad, and could not be.')
}) satisfies z.ZodType<VerifyResult>

type VerifyProgress = Parameters<OnVerifyProgress>[0]

/** What is told while the content is read again, and at the end. */
export type VerifyEvent =
  | { readonly type: 'progress'; readonly progress: VerifyProgress }
  | { readonly type: 'done'; readonly result: VerifyResult }
  | { readonly type: 'error'; readonly error: Failure }

/** Reads all content again, and has what is bad fetched anew. */
export function verifyAction(verifier: Pick<Verifier, 'run'>): StreamedAction {
  return streamedAction({
    path: 'verify',
    summary: 'Reads all content again, compares it with its digests, and has what is bad fetched anew',
    maxRunning: 1,
    input: z.strictObject({
      bytesPerSecond: z.exactOptional(z.int().min(1)).describe('Instead of store.verify.rate.')
    }),
    progress: z.union([z.strictObject({ count: countSchema }), z.strictObject({ bad: badBlobSchema })]),
    result: resultSchema,
    keyOf: (progress) => ('bad' in progress ? progress.bad.digest : ''),
    run: (input, onProgress, signal) => verifier.run(input, onProgress as OnVerifyProgress, signal)
  })
}
