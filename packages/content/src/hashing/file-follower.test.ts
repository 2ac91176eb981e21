import { describe, expect, it } from 'vitest'
import type { FileHandle } from '../disk/file-system.ts'
import { StoredFile } from '../disk/files.ts'
import { FileFollower } from './file-follower.ts'

function setUp() {
  const taken: string[] = []
  const forgotten = { times: 0 }
  const turns: PromiseWithResolvers<void>[] = []
  const file = new StoredFile({ fd: 3 } as FileHandle, () => {})
  const take = async (_fd: number, from: number, to: number) => {
    taken.push(`file ${from}-${to}`)
    const turn = Promise.withResolvers<void>()
    turns.push(turn)
    await turn.promise
  }
  const follower = new FileFollower({ take, forget: () => forgotten.times++ }, 10)
  const feed = (from: number, to: number, outcome: Promise<void> = Promise.resolve()) =>
    follower.feed(from, to, () => {
      taken.push(`memory ${from}-${to}`)
      return outcome
    })
  /** Lets what is being read from the file come to its end. */
  const turn = async (index: number) => {
    await expect.poll(() => turns.length).toBeGreaterThan(index)
    turns[index]?.resolve()
  }
  return { follower, file, taken, forgotten, feed, turn }
}

describe('a follower that is fed', () => {
  it('takes bytes from memory, and does not read them again', async () => {
    const { follower, file, taken, feed } = setUp()
    await Promise.all([feed(0, 4), feed(4, 8)])
    follower.follow(file, 4)
    follower.follow(file, 8)
    await follower.catchUp(file, 8)
    expect(taken).toEqual(['memory 0-4', 'memory 4-8'])
    expect(follower.position).toBe(8)
  })

  it('reads what it was not fed, and only what is in the file, before it takes what comes next', async () => {
    const { follower, file, taken, feed, turn } = setUp()
    follower.follow(file, 5)
    const fed = feed(5, 25)
    await turn(0)
    await fed
    follower.follow(file, 25)
    expect(taken).toEqual(['file 0-5', 'memory 5-25'])
    await follower.catchUp(file, 25)
    expect(taken).toHaveLength(2)
  })

  it('leaves what does not come next to the file', async () => {
    const { follower, file, taken, feed, turn } = setUp()
    await feed(4, 8)
    follower.follow(file, 8)
    await turn(0)
    await feed(8, 9)
    expect(taken).toEqual(['file 0-8', 'memory 8-9'])
  })

  it('begins anew when the memory could not be taken in, and leaves what waits behind it to the file', async () => {
    const { follower, file, taken, forgotten, feed, turn } = setUp()
    const failing = feed(0, 4, Promise.reject(new Error('no thread')))
    const behind = feed(4, 8)
    await expect(failing).rejects.toThrow('no thread')
    await behind
    expect([follower.position, forgotten.times]).toEqual([0, 1])
    follower.follow(file, 8)
    await turn(0)
    await follower.catchUp(file, 8)
    expect(taken).toEqual(['memory 0-4', 'file 0-8'])
  })

  it('forgets what it was fed when the file is cut before that', async () => {
    const { follower, feed, forgotten } = setUp()
    const fed = Promise.all([feed(0, 4), feed(4, 8)])
    await follower.rewind(4)
    await fed
    expect([follower.position, forgotten.times]).toEqual([0, 1])
  })
})
