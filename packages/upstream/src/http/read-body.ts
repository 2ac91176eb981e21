import { UpstreamError } from '../errors.ts'
import type { HttpAnswer } from './answer.ts'

/** Reads a whole body of at most `maxBytes`. @throws {UpstreamError} MALFORMED when it is longer; what the body throws */
export async function readBody({ body, headers }: HttpAnswer, maxBytes: number, registry: string): Promise<Buffer> {
  const tooLong = () => new UpstreamError('MALFORMED', registry, `an answer is longer than ${maxBytes} bytes`)
  const chunks: Buffer[] = []
  let length = 0
  if ((headers.length ?? 0) > maxBytes) {
    body.on('error', () => {}).destroy()
    throw tooLong()
  }
  // Leaving the loop ends the connection.
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > maxBytes) throw tooLong()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, length)
}
