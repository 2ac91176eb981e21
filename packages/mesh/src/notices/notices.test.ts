import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { NoticeHead } from '../interfaces.ts'
import { LIMITS, PROTOCOL } from '../limits.ts'
import { call } from '../network/rpc.ts'
import { hostileHost } from '../testing/hostile-peer.ts'
import { MemoryBoard, notice } from '../testing/memory-board.ts'
import { MeshFixture, type TestNode, until } from '../testing/mesh-fixture.ts'
import { encodeFields } from '../wire/fields.ts'
import { decodeHeads, decodeNoticeRequest, encodeHeads, encodeNotice, encodeNoticeRequest } from './messages.ts'

const head = (sequence: number, signer = 'seed'): NoticeHead => ({ kind: 'test', signer, sequence })
const deadline = { deadlineMs: 60_000, signal: new AbortController().signal }

let fixture: MeshFixture
beforeEach(() => {
  fixture = new MeshFixture()
})
afterEach(() => fixture[Symbol.asyncDispose]())

interface BoardNode extends TestNode {
  readonly board: MemoryBoard
}

async function node(join: readonly string[] = [], board = new MemoryBoard()): Promise<BoardNode> {
  return { ...(await fixture.node({ join, board })), board }
}

describe('a notice', () => {
  it('comes to those who connect, whichever side has it', async () => {
    const first = await node()
    await first.board.offer('test', notice(head(3)), 'here')
    const second = await node(first.mesh.addresses)
    await until(() => second.board.sequenceOf('seed') === 3)
    const newer = new MemoryBoard()
    await newer.offer('test', notice(head(4)), 'here')
    await node(first.mesh.addresses, newer)
    await until(() => first.board.sequenceOf('seed') === 4 && second.board.sequenceOf('seed') === 4)
  })

  it('goes through the mesh when it changes, from node to node', async () => {
    const first = await node()
    const middle = await node(first.mesh.addresses)
    await until(() => middle.mesh.connected().length === 1)
    const last = await node(middle.mesh.addresses)
    await until(() => last.mesh.connected().length > 0)
    await first.board.offer('test', notice(head(1)), 'here')
    await until(() => [middle, last].every(({ board }) => board.sequenceOf('seed') === 1))
    await first.board.offer('test', notice(head(2)), 'here')
    await until(() => [middle, last].every(({ board }) => board.sequenceOf('seed') === 2))
  })

  it('that changes many times in a row is told of a few times, and the newest comes', async () => {
    const first = await node()
    const second = await node(first.mesh.addresses)
    await until(() => second.mesh.connected().length === 1)
    const last = 4 * LIMITS.noticeBurst
    for (let sequence = 1; sequence <= last; sequence++) {
      await first.board.offer('test', notice(head(sequence)), 'here')
    }
    await until(() => second.board.sequenceOf('seed') === last)
    expect(second.board.senders.length).toBeLessThan(LIMITS.noticeBurst)
    expect([...first.observer.bans, ...second.observer.bans]).toEqual([])
  })

  it('is not fetched when nobody here trusts its signer', async () => {
    const first = await node([], new MemoryBoard(['seed', 'other']))
    await first.board.offer('test', notice(head(1, 'other')), 'here')
    await first.board.offer('test', notice(head(1)), 'here')
    const second = await node(first.mesh.addresses)
    await until(() => second.board.sequenceOf('seed') === 1)
    expect(second.board.senders).toEqual([first.mesh.peerId])
  })

  it('is fetched once its signer is trusted, though everybody told of it before', async () => {
    const first = await node([], new MemoryBoard(['seed', 'other']))
    await first.board.offer('test', notice(head(1, 'other')), 'here')
    await first.board.offer('test', notice(head(1)), 'here')
    const second = await node(first.mesh.addresses)
    await until(() => second.board.sequenceOf('seed') === 1)
    second.board.believe(['seed', 'other'])
    await until(() => second.board.sequenceOf('other') === 1)
  })
})

/** A member that answers requests about notices as the test says. */
async function hostile(to: TestNode, answer: (op: string) => Uint8Array) {
  const asked: string[] = []
  const host = await hostileHost(fixture, {
    protocol: PROTOCOL.notice,
    answer: (request) => {
      const { op } = decodeNoticeRequest(request)
      asked.push(op)
      return answer(op)
    }
  })
  const peerId = to.mesh.peerId
  await host.dial(to)
  const tell = (bytes: Uint8Array) => call(host.host, peerId, bytes, { protocol: PROTOCOL.notice, ...deadline })
  return { peerId: host.peerId, asked, tell }
}

const banned = (of: TestNode) => of.observer.bans.map(({ peerId, reason }) => ({ peerId, reason }))

describe('a hostile peer', () => {
  it.each([
    ['sends what nobody signed', notice(head(5), '', false)],
    ['sends an older one than it told of', notice(head(4))],
    ['sends the one of another signer', notice(head(9, 'other'))],
    ['sends the one of a stranger', notice(head(9, 'stranger'))]
  ])('that %s is shut out', async (_what, sent) => {
    const victim = await node([], new MemoryBoard(['seed', 'other']))
    await victim.board.offer('test', notice(head(4)), 'here')
    const heads = encodeHeads([head(5)])
    const { peerId } = await hostile(victim, (op) => (op === 'get' ? encodeNotice(sent) : heads))
    await until(() => victim.observer.bans.length > 0)
    expect(banned(victim)).toEqual([{ peerId, reason: 'wrong-notice' }])
    expect(victim.board.sequenceOf('seed')).toBe(4)
  })

  it('that answers with garbage is shut out', async () => {
    const victim = await node()
    const heads = encodeHeads([head(1)])
    const garbage = encodeFields({ envelope: new Uint8Array(LIMITS.noticeBytes + 1) })
    const { peerId } = await hostile(victim, (op) => (op === 'get' ? garbage : heads))
    await until(() => victim.observer.bans.length > 0)
    expect(banned(victim)).toEqual([{ peerId, reason: 'malformed' }])
  })

  it('that never sends what it told of keeps nobody from sending it', async () => {
    const victim = await node()
    const { asked, tell } = await hostile(victim, () => encodeNotice())
    await tell(encodeNoticeRequest({ op: 'changed', heads: [head(7)] }))
    await until(() => asked.includes('get'))
    const honest = new MemoryBoard()
    await honest.offer('test', notice(head(7)), 'here')
    await node(victim.mesh.addresses, honest)
    await until(() => victim.board.sequenceOf('seed') === 7)
  })

  it('can not make a node fetch more than it wants', async () => {
    const victim = await node()
    const { asked, tell } = await hostile(victim, () => encodeNotice())
    const strangers = Array.from({ length: LIMITS.noticesPerMessage }, (_, i) => head(1, `stranger-${i}`))
    await tell(encodeNoticeRequest({ op: 'changed', heads: strangers }))
    await tell(encodeNoticeRequest({ op: 'changed', heads: [{ kind: 'unknown', signer: 'seed', sequence: 1 }] }))
    await tell(encodeNoticeRequest({ op: 'changed', heads: [head(1)] }))
    await until(() => asked.includes('get'))
    await sleep(100)
    expect(asked.filter((op) => op === 'get')).toHaveLength(1)
  })

  it('that tells of too many at once, or of what can not be, is shut out', async () => {
    const many = Array.from({ length: LIMITS.noticesPerMessage + 1 }, () => head(1))
    for (const message of [
      encodeNoticeRequest({ op: 'changed', heads: many }),
      encodeFields({ op: 'changed', notices: [['test', 'seed', 0]] })
    ]) {
      const victim = await node()
      const { tell } = await hostile(victim, () => encodeNotice())
      await expect(tell(message)).rejects.toThrow()
      await until(() => victim.observer.bans.length > 0)
    }
  })

  it('that asks for what this version does not know gets no answer, and may go on', async () => {
    const victim = await node()
    const { tell } = await hostile(victim, () => encodeNotice())
    await expect(tell(encodeFields({ op: 'erase' }))).rejects.toThrow()
    expect(decodeHeads(await tell(encodeNoticeRequest({ op: 'list' })))).toEqual([])
  })
})
