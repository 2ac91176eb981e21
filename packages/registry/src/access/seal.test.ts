import { describe, expect, it } from 'vitest'
import { Seal } from './seal.ts'

const seal = new Seal(Buffer.alloc(32, 1))
const same = new Seal(Buffer.alloc(32, 1))
const other = new Seal(Buffer.alloc(32, 2))

describe('a MAC', () => {
  it('fits its values, by the same key', () => {
    const mac = seal.mac('a', null, 'b')
    expect(same.isMac(mac, 'a', null, 'b')).toBe(true)
    expect(other.isMac(mac, 'a', null, 'b')).toBe(false)
  })

  it('fits no other values, however they are put together', () => {
    const mac = seal.mac('a', 'b')
    for (const values of [['ab'], ['a', 'b', null], ['a","b'], ['b', 'a'], ['a', null], []]) {
      expect(seal.isMac(mac, ...values)).toBe(false)
    }
  })

  it.each(['', '0', '00', 'é'.repeat(32)])('is not %j, and nothing is thrown', (text) => {
    expect(seal.isMac(text, 'a')).toBe(false)
  })
})

describe('a hidden text', () => {
  it('is revealed by the same key, and is another each time', () => {
    const [first, second] = [seal.hide('team/app'), seal.hide('team/app')]
    expect(first).not.toBe(second)
    expect([same.reveal(first), same.reveal(second)]).toEqual(['team/app', 'team/app'])
    expect(other.reveal(first)).toBeUndefined()
  })

  it('is not revealed once a byte of it is another, or missing', () => {
    const hidden = Buffer.from(seal.hide('team/app'), 'base64url')
    for (let at = 0; at < hidden.length; at++) {
      const changed = Buffer.from(hidden)
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at)
      expect(seal.reveal(changed.toString('base64url'))).toBeUndefined()
      expect(seal.reveal(hidden.subarray(0, at).toString('base64url'))).toBeUndefined()
    }
  })
})
