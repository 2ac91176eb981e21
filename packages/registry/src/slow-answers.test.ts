import { randomBytes } from 'node:crypto'
import { MAX_MANIFEST_BYTES, ownRepository } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { imageManifest } from './testing/images.ts'
import { startRegistry } from './testing/start.ts'

const MIB = 1024 * 1024
const REPOSITORY = ownRepository('team/app')
const CLIENTS = 6
const LIMITS = { maxSlowAnswers: 2, slowAnswerMs: 200 }

/** A manifest so long that no socket takes all of it at once. */
function longManifest(): Buffer {
  const fields = JSON.parse(Buffer.from(imageManifest(Buffer.from('{}'), [])).toString())
  return Buffer.from(JSON.stringify({ ...fields, annotations: { fill: 'x'.repeat(MAX_MANIFEST_BYTES - 1024) } }))
}

it.each([
  ['blob', Buffer.from(randomBytes(32 * MIB))],
  ['manifest', longManifest()]
])('of clients that take nothing of a %s, only as many are waited for as may be', async (kind, bytes) => {
  const { client, backend } = await startRegistry(LIMITS)
  const digest =
    kind === 'blob' ? backend.addBlob(REPOSITORY, bytes) : backend.addManifest(REPOSITORY, new Uint8Array(bytes))
  const path = `/v2/${REPOSITORY}/${kind}s/${digest}`
  const connections = Array.from({ length: CLIENTS }, () => client.raw())
  for (const connection of connections) {
    connection.pause()
    connection.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
  }
  let cut = 0
  for (const connection of connections) void connection.closed().then(() => cut++)
  await new Promise((resolve) => setTimeout(resolve, 5 * LIMITS.slowAnswerMs))
  for (const connection of connections) connection.resume()
  await expect.poll(() => cut).toBe(CLIENTS - LIMITS.maxSlowAnswers)
  // Whoever reads gets all of it.
  expect((await client.get(path)).body).toHaveLength(bytes.length)
  for (const connection of connections) connection.reset()
})
