import { describe, expect, it } from 'vitest'
import { BanList } from './bans.ts'

describe('bans', () => {
  it('end after their time', () => {
    let now = 0
    const bans = new BanList(() => now)
    bans.ban('p', 100)
    now = 99
    expect(bans.has('p')).toBe(true)
    now = 100
    expect(bans.has('p')).toBe(false)
  })

  it('are not cut short by a later, shorter one', () => {
    let now = 0
    const bans = new BanList(() => now)
    expect(bans.ban('p', 100)).toBe(true)
    expect(bans.ban('p', 10)).toBe(false)
    now = 50
    expect(bans.has('p')).toBe(true)
  })

  it('are bounded in number: the oldest is forgotten', () => {
    const bans = new BanList(() => 0)
    for (let i = 0; i < 5000; i++) bans.ban(`p${i}`, 1000)
    expect([bans.has('p0'), bans.has('p4999')]).toEqual([false, true])
  })
})
