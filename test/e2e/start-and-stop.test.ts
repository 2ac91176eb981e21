import { join } from 'node:path'
import { digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { describe, expect, test } from 'vitest'
import { noise } from '../support/images/noise.ts'
import { LAYERMESH, MeshNode } from '../support/node.ts'
import { takenPort } from '../support/ports.ts'
import { type RunResult, run } from '../support/process.ts'
import { openBlob, pushImage } from '../support/registry-client.ts'
import { useSandbox } from '../support/sandbox.ts'

/** A node gives connections a few seconds; one that waits for its clients would wait for minutes. */
const STOPS_WITHIN_MS = 60_000
const BLOB_BYTES = 64 * 1024 * 1024
const LOOPBACK = '127.0.0.1:0'

const sandbox = useSandbox()

/** Runs `layermesh node` on free ports of loopback, with flags that stand last and so win. */
function runNode(name: string, ...flags: string[]): Promise<RunResult> {
  const data = join(sandbox.directory, name)
  const addresses = ['--listen', LOOPBACK, '--admin', LOOPBACK]
  return run(LAYERMESH, ['node', '--role', 'seed', '--data', data, ...addresses, ...flags])
}

/** What a failure must look like: exit code 1 and one plain line. */
function expectOneLineFailure({ code, stderr }: RunResult): void {
  expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/^[^\n]+\n$/) })
}

describe('layermesh node', () => {
  test.each([
    ['an unknown flag', ['--nonsense']],
    ['a role that there is not', ['--role', 'king']],
    ['a multiaddr that is none', ['--mesh', 'nonsense']],
    ['an address without a port', ['--listen', 'localhost']],
    ['a word too many', ['nonsense']]
  ])('ends with 2 for wrong usage: %s', async (_, flags) => {
    const { code, stderr } = await runNode('wrong-usage', ...flags)
    expect(code, stderr).toBe(2)
    expect(stderr).not.toMatch(/^\s+at /m)
  })

  test('ends with 1 and one plain line when its registry port is taken', async () => {
    const { port, server } = await takenPort()
    try {
      const result = await runNode('taken', '--mesh', '/ip4/127.0.0.1/tcp/0', '--listen', `127.0.0.1:${port}`)
      expectOneLineFailure(result)
      expect(result.stderr).toContain(String(port))
    } finally {
      server.close()
    }
  })

  test('refuses to listen beyond loopback without a cluster secret', async () => {
    const result = await runNode('open', '--mesh', '/ip4/0.0.0.0/tcp/0')
    expectOneLineFailure(result)
    expect(result.stderr).toMatch(/secret/)
  })

  test('ends with 0 soon after SIGTERM, also while a client is pulling', async () => {
    const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
    const node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed })
    const digest = digestOf(Buffer.concat([...noise('slow', BLOB_BYTES)]))
    const layer = { mediaType: MEDIA_TYPE.ociLayerGzip, digest, size: BLOB_BYTES }
    await pushImage(seed.registryUrl, 'team/slow', '1', layer, noise('slow', BLOB_BYTES))

    const response = await openBlob(node.registryUrl, 'team/slow', digest)
    response.on('error', () => {})
    try {
      const started = performance.now()
      expect(await node.stop(), node.process.log.tail()).toEqual({ code: 0, signal: null })
      expect(performance.now() - started).toBeLessThan(STOPS_WITHIN_MS)
    } finally {
      response.destroy()
    }
    expect(await seed.stop(), seed.process.log.tail()).toEqual({ code: 0, signal: null })
  })
})
