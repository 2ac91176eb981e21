import { readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { eventually, HANG_MS } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { attempts } from './support/attempts.ts'
import { KnownBlob, MIB } from './support/known-blob.ts'
import { Link } from './support/link.ts'
import { Random } from './support/random.ts'

const CLIENTS = 24
/** No client gets as far as this before all are gone. */
const HELD_AT_BYTES = 8 * MIB
/** What may come twice: pieces that two sources were asked for. */
const SLACK_BYTES = 4 * MIB

test('when all clients of a pull go away in the middle, the node brings the blob to its end, and keeps nothing of them', () =>
  attempts(async ({ sandbox }) => {
    const random = Random.printed()
    const blob = new KnownBlob('clients-gone', 48 * MIB)
    const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
    const link = await Link.to(sandbox, seed)
    const node = await MeshNode.start(sandbox, { name: 'node', join: [link], seed })
    await blob.push(seed)
    const before = await openFiles(node)

    link.holdAfter(HELD_AT_BYTES)
    const pulls = Array.from({ length: CLIENTS }, () => {
      const client = new AbortController()
      // Some go before the answer, some with the first byte, most in the middle.
      const leaveAt = random.pick([0, 1, random.integer(1, HELD_AT_BYTES)])
      let taken = 0
      const onBytes = (bytes: number) => {
        taken += bytes
        if (taken >= leaveAt) client.abort()
      }
      const pull = blob.pull(node, { onBytes, signal: client.signal })
      if (leaveAt === 0) client.abort()
      return { pull, leave: () => client.abort() }
    })
    await link.held()
    for (const { leave } of pulls) leave()
    for (const { pull } of pulls) expect(await pull.end).toMatchObject({ whole: false })
    expect(await node.receivedFromPeers()).toBeLessThan(blob.size)
    link.release()

    await eventually('the node has the blob', HANG_MS, async () => {
      const { arriving, blobs } = (await node.status()).store
      return (arriving === 0 && blobs > 0) || undefined
    })
    expect(await blob.pull(node).end).toMatchObject({ status: 200, whole: true })
    expect(await node.metric('layermesh_pulls_total', { kind: 'blob', result: 'hit' })).toBe(1)
    expect(await node.receivedFromPeers()).toBeLessThan(blob.size + SLACK_BYTES)
    await eventually('the node lets go of its clients', HANG_MS, async () => {
      const { sockets, blobs } = await openFiles(node)
      return (sockets <= before.sockets && blobs <= 1) || undefined
    })
  }))

/** What a process has open: sockets, and files of blobs (proc(5)); the store keeps one open for the next reader. */
async function openFiles({ process: { pid }, dataDirectory }: MeshNode): Promise<{ sockets: number; blobs: number }> {
  const directory = `/proc/${pid}/fd`
  const targets = await Promise.all(
    (await readdir(directory)).map((fd) => readlink(`${directory}/${fd}`).catch(() => ''))
  )
  const count = (...prefixes: string[]) =>
    targets.filter((target) => prefixes.some((prefix) => target.startsWith(prefix))).length
  return {
    sockets: count('socket:'),
    blobs: count(join(dataDirectory, 'content/blobs/'), join(dataDirectory, 'content/partial/'))
  }
}
