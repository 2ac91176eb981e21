import { expect, it } from 'vitest'
import { walkMembers } from './member-walk.ts'
import type { KnownMember } from './messages.ts'

const member = (peerId: string, zone = 'a'): KnownMember => ({ peerId, zone, role: 'node', addresses: [] })
const OPTIONS = { self: 'me', concurrency: 2, maxMembers: 100 }

function walk(graph: Record<string, readonly KnownMember[]>, options: Partial<typeof OPTIONS> = {}) {
  const asked: string[] = []
  const components = {
    connected: () => graph.me ?? [],
    ask: async (peerId: string) => {
      asked.push(peerId)
      const named = graph[peerId]
      if (named === undefined) throw new Error('does not answer')
      return named
    },
    learn: async () => {}
  }
  return { asked, members: walkMembers(components, { ...OPTIONS, ...options }, new AbortController().signal) }
}

it('goes on to those that it hears of, asks each once, and is none of them itself', async () => {
  const { asked, members } = walk({
    me: [member('x'), member('y')],
    x: [member('me'), member('y'), member('z')],
    y: [member('x')],
    z: [member('me'), member('silent')]
  })
  expect((await members).map(({ peerId }) => peerId)).toEqual(['x', 'y', 'z', 'silent'])
  expect(asked.toSorted()).toEqual(['silent', 'x', 'y', 'z'])
})

it('believes the member itself before others', async () => {
  const { members } = walk({ me: [member('x', 'a'), member('y', 'b')], x: [member('y', 'wrong')], y: [] })
  expect(await members).toMatchObject([{ zone: 'a' }, { zone: 'b' }])
})

it('ends when it knows as many as it may', async () => {
  const crowd = Array.from({ length: 50 }, (_, i) => member(`p${i}`))
  const { asked, members } = walk({ me: [member('x')], x: crowd }, { maxMembers: 10 })
  expect(await members).toHaveLength(10)
  expect(asked.length).toBeLessThanOrEqual(10)
})
