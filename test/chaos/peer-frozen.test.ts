import { expect, test } from 'vitest'
import { HANG_MS, within } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { attempts } from './support/attempts.ts'
import { KnownBlob, MIB } from './support/known-blob.ts'
import { Link } from './support/link.ts'

test('a peer that freezes in the middle of a pull is given up and named, and another one brings the rest', () =>
  attempts(async ({ sandbox, silenced }) => {
    const blob = new KnownBlob('frozen-peer', 64 * MIB)
    const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
    const holder = await MeshNode.start(sandbox, { name: 'holder', join: [seed], seed })
    await blob.push(seed)
    expect(await blob.pull(holder).end).toMatchObject({ whole: true })

    const links = [await Link.to(sandbox, seed), await Link.to(sandbox, holder)]
    const node = await MeshNode.start(sandbox, { name: 'node', join: links, seed })
    for (const link of links) link.holdAfter(8 * MIB)
    const pull = blob.pull(node)
    await Promise.all(links.map((link) => link.held()))
    silenced.add(holder.peerId)
    holder.process.signal('SIGSTOP')
    for (const link of links) link.release()

    expect(await within(HANG_MS, pull.end)).toMatchObject({ status: 200, whole: true })
    const banned = await node.process.waitForLine(new RegExp(`${holder.peerId}.*banned a peer`), HANG_MS)
    expect(banned).toContain('"reason":"silent"')

    holder.process.signal('SIGCONT')
    expect(await blob.pull(holder).end).toMatchObject({ status: 200, whole: true })
  }))
