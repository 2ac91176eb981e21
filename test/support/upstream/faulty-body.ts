import type { ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import type { Fault } from './faults.ts'
import type { Throttle } from './throttle.ts'

/** Small enough for a slow rate to be even. */
const CHUNK_BYTES = 16 * 1024

export interface BodyComponents {
  readonly throttle: Throttle
  readonly fault: Fault | undefined
  /** Told how many bytes were handed to the connection. */
  readonly onBytes: (bytes: number) => void
  /** Hangs until it is let go. */
  readonly hang: () => Promise<void>
}

/** Sends a body on as the throttle lets it, with the fault that is to hit it. Ends when the client goes. */
export async function relayBody(source: Readable, response: ServerResponse, components: BodyComponents): Promise<void> {
  const { throttle, fault, onBytes, hang } = components
  let offset = 0
  for await (const chunk of chunks(source)) {
    for (const part of splitAt(chunk, stopOf(fault) - offset)) {
      if (fault?.does === 'cut' && offset === stopOf(fault)) return void response.destroy()
      if (fault?.does === 'hang' && offset === stopOf(fault)) await hang()
      await throttle.take(part.length)
      if (fault?.does === 'corrupt') corrupt(part, fault.at - offset)
      if (response.destroyed) return
      onBytes(part.length)
      offset += part.length
      await new Promise((resolve) => response.write(part, resolve))
    }
  }
  // What is too short or too long leaves a connection on which nothing can follow.
  if (fault?.does === 'lengthen') response.end(() => response.destroy())
  else response.end()
}

async function* chunks(source: Readable): AsyncGenerator<Buffer> {
  for await (const chunk of source as AsyncIterable<Buffer>) {
    for (let start = 0; start < chunk.length; start += CHUNK_BYTES) yield chunk.subarray(start, start + CHUNK_BYTES)
  }
}

/** The offset at which a fault stops the body. */
function stopOf(fault: Fault | undefined): number {
  const at = fault?.does === 'cut' || fault?.does === 'hang' ? fault.afterBytes : undefined
  return at ?? Number.POSITIVE_INFINITY
}

function splitAt(chunk: Buffer, at: number): Buffer[] {
  return at > 0 && at < chunk.length ? [chunk.subarray(0, at), chunk.subarray(at)] : [chunk]
}

function corrupt(part: Buffer, at: number): void {
  const byte = part[at]
  if (byte !== undefined) part[at] = byte ^ 0xff
}
