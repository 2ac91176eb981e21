import { randomBytes } from 'node:crypto'
import { MEDIA_TYPE, ownRepository } from '@layermesh/oci'
import { expect, it, onTestFinished, vi } from 'vitest'
import { SlowAnswers } from './slow-answers.ts'
import { startRegistry } from './testing/start.ts'

const MIB = 1024 * 1024
const REPOSITORY = ownRepository('team/app')
const CLIENTS = 6
const LIMITS = { maxSlowAnswers: 2, slowAnswerMs: 200 }

/** So much that no socket takes all of it at once, longer than a manifest may be: a system may take 4 MiB. */
const BYTES = randomBytes(32 * MIB)

it.each(['blob', 'manifest'])(
  'of clients that take nothing of a %s, only as many are waited for as may be',
  async (kind) => {
    const given = SlowAnswers.prototype.given
    let told = 0
    vi.spyOn(SlowAnswers.prototype, 'given').mockImplementation(function (this: SlowAnswers, end) {
      return given.call(this, () => {
        told++
        end()
      })
    })
    onTestFinished(() => void vi.restoreAllMocks())
    const { client, backend } = await startRegistry(LIMITS)
    const digest = backend.addBlob(REPOSITORY, BYTES)
    vi.spyOn(backend.manifests, 'get').mockResolvedValue({ digest, mediaType: MEDIA_TYPE.ociManifest, bytes: BYTES })
    const path = `/v2/${REPOSITORY}/${kind}s/${digest}`
    const connections = Array.from({ length: CLIENTS }, () => client.raw())
    for (const connection of connections) {
      connection.pause()
      connection.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
    }
    let cut = 0
    for (const connection of connections) void connection.closed().then(() => cut++)
    await expect.poll(() => told).toBe(CLIENTS - LIMITS.maxSlowAnswers)
    for (const connection of connections) connection.resume()
    await expect.poll(() => cut).toBe(CLIENTS - LIMITS.maxSlowAnswers)
    for (const connection of connections) connection.reset()
    // Whoever reads gets all of it.
    expect((await client.get(path)).body).toHaveLength(BYTES.length)
  }
)
