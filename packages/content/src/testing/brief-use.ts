/** A process that uses the store in argv[2] a little, closes it and has nothing more to do. */
import { digestOf, ownRepository } from '@layermesh/oci'
import { openContentStore } from '../content-store.ts'
import { bytesOf, chunksOf, collect, whole } from './bytes.ts'

const [, , directory = ''] = process.argv
const bytes = bytesOf(100_000)

// Closed while its first hashing thread is still starting.
const first = await openContentStore(directory)
const upload = await first.uploads.create(ownRepository('a'))
await upload.append(chunksOf(bytes))
await first.close()

const second = await openContentStore(directory)
await second.blobs.put(digestOf(bytes), bytes)
const reader = await second.blobs.open(digestOf(bytes))
if (reader !== undefined) await collect(reader.read(whole(reader)))
await second.close()
process.stdout.write('closed\n')
