import type { BlobReader } from '../interfaces.ts'
import type { Guards } from './guards.ts'

/** The same reader, whose blob stays as long as it is read. */
export function heldReader(reader: BlobReader, guards: Guards): BlobReader {
  const { digest, size, complete } = reader
  const read: BlobReader['read'] = async function* (range, signal, options) {
    const hold = await guards.hold([digest])
    try {
      yield* reader.read(range, signal, options)
    } finally {
      hold.release()
    }
  }
  return { digest, size, complete, read }
}
