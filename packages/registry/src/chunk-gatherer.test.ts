import { PassThrough, Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { ChunkGatherer } from './chunk-gatherer.ts'

const patient = (arrival: Promise<void>) => arrival

/** Bytes with memory of their own, as they come from a connection. */
function chunk(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value)
}

function streamOf(chunks: Uint8Array[]): Readable {
  return Readable.from(chunks, { objectMode: false, highWaterMark: 64 * 1024 })
}

async function gatherAll(gatherer: ChunkGatherer): Promise<Buffer[]> {
  const all: Buffer[] = []
  for (;;) {
    const next = await gatherer.next(patient)
    if (next === undefined) return all
    all.push(Buffer.from(next))
  }
}

describe('a chunk gatherer', () => {
  it('gives what came in small chunks in few', async () => {
    const chunks = Array.from({ length: 1000 }, (_, index) => chunk(700, index % 251))
    const expected = Buffer.concat(chunks)
    const gathered = await gatherAll(new ChunkGatherer(streamOf(chunks)))
    expect(Buffer.concat(gathered).equals(expected)).toBe(true)
    expect(gathered.length).toBeLessThan(100)
  })

  it('gives together what comes within one turn of the event loop', async () => {
    const stream = new PassThrough()
    const next = new ChunkGatherer(stream).next(patient)
    stream.write(chunk(10, 1))
    process.nextTick(() => process.nextTick(() => stream.write(chunk(20, 2))))
    expect(await next).toHaveLength(30)
  })

  it('loses nothing of chunks that are longer than what it gives', async () => {
    const chunks = [chunk(1_000_000, 1), chunk(5, 2), chunk(262_144, 3), chunk(262_143, 4), chunk(300_000, 5)]
    const expected = Buffer.concat(chunks)
    const gathered = await gatherAll(new ChunkGatherer(streamOf(chunks)))
    expect(Buffer.concat(gathered).equals(expected)).toBe(true)
    expect(Math.max(...gathered.map(({ byteLength }) => byteLength))).toBe(262_144)
  })

  it('frees the memory of a chunk, but none that holds other things too', async () => {
    const stream = new PassThrough()
    const gatherer = new ChunkGatherer(stream)
    const [own, memory] = [chunk(100, 1), new Uint8Array(200)]
    stream.write(own)
    stream.write(memory.subarray(0, 50))
    stream.end()
    await gatherAll(gatherer)
    expect([own.byteLength, memory.byteLength]).toEqual([0, 200])
  })

  it('gives what came before the stream failed, then the failure', async () => {
    const stream = new PassThrough()
    const gatherer = new ChunkGatherer(stream)
    stream.write(chunk(10, 1))
    expect(await gatherer.next(patient)).toHaveLength(10)
    const failing = gatherer.next(patient)
    stream.destroy(new Error('the client is gone'))
    await expect(failing).rejects.toThrow('the client is gone')
    await expect(gatherer.next(patient)).rejects.toThrow('the client is gone')
  })

  it('does not take a stream that closed for one that ended', async () => {
    const stream = new PassThrough()
    const gatherer = new ChunkGatherer(stream)
    stream.destroy()
    await expect(gatherer.next(patient)).rejects.toThrow('closed before its end')
  })

  it('waits no longer than it may', async () => {
    const gatherer = new ChunkGatherer(new PassThrough())
    await expect(gatherer.next(() => Promise.reject(new Error('too long')))).rejects.toThrow('too long')
  })

  it('leaves what is still to come in the stream when it stops', async () => {
    const stream = new PassThrough()
    const gatherer = new ChunkGatherer(stream)
    stream.write(chunk(10, 1))
    await gatherer.next(patient)
    gatherer.stop()
    stream.end(chunk(20, 2))
    const rest: Buffer[] = []
    for await (const part of stream) rest.push(part)
    expect(Buffer.concat(rest)).toHaveLength(20)
  })
})
