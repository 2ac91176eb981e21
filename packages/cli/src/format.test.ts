import { expect, it } from 'vitest'
import { formatAge, formatBytes, formatPairs, formatTable, printable, shortDigest, shortPeer } from './format.ts'

it('writes sizes with binary units', () => {
  expect([0, 1, 1023, 1024, 1536, 104_857_600, 2 ** 30].map(formatBytes)).toEqual([
    '0 B',
    '1 B',
    '1023 B',
    '1.0 KiB',
    '1.5 KiB',
    '100 MiB',
    '1.0 GiB'
  ])
})

it('writes ages as people say them', () => {
  expect([-5, 0, 119_000, 120_000, 7_200_000, 172_800_000].map(formatAge)).toEqual([
    '0 s',
    '0 s',
    '119 s',
    '2 min',
    '2 h',
    '2 d'
  ])
})

it('shortens digests and peer ids', () => {
  expect(shortDigest(`sha256:${'0123456789abcdef'.repeat(4)}`)).toBe('sha256:0123456789ab')
  expect(shortPeer('12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp')).toBe('…vnc6iDEp')
})

it('puts columns under their names', () => {
  expect(
    formatTable(
      ['name', 'size'],
      [
        ['a', '1'],
        ['longer', '22']
      ]
    )
  ).toBe('NAME    SIZE\na       1\nlonger  22\n')
  expect(
    formatPairs([
      ['a', '1'],
      ['bcd', '2']
    ])
  ).toBe('a    1\nbcd  2\n')
})

it('keeps names of strangers from moving the cursor', () => {
  expect(printable('a\u001b[2Jb\n\u202ec')).not.toMatch(/\p{Cc}|\u202e/u)
  expect(formatTable(['zone'], [['x\u001b[2J']])).not.toContain('\u001b')
  expect(formatPairs([['zone', 'x\u001b[2J']])).not.toContain('\u001b')
})
