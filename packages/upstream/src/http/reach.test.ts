import { BlockList } from 'node:net'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { farthest, mayLead, type Reach, reachOf } from './reach.ts'

/** Blocks of IANA's registries of special-purpose addresses, as Node's own list. */
const SPECIAL_V4 = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4]
] as const
const blocked = new BlockList()
for (const [net, prefix] of SPECIAL_V4) blocked.addSubnet(net, prefix)

const REACHES: readonly Reach[] = ['public', 'private', 'loopback', 'special']

it.each([
  ['8.8.8.8', 'public'],
  ['172.32.0.1', 'public'],
  ['2606:4700:4700::1111', 'public'],
  ['64:ff9b::8.8.8.8', 'public'],
  ['10.1.2.3', 'private'],
  ['172.16.0.1', 'private'],
  ['192.168.1.1', 'private'],
  ['100.64.0.1', 'private'],
  ['fd00::1', 'private'],
  ['127.0.0.1', 'loopback'],
  ['127.255.0.1', 'loopback'],
  ['::1', 'loopback'],
  ['169.254.169.254', 'special'],
  ['100.100.100.200', 'special'],
  ['168.63.129.16', 'special'],
  ['fd00:ec2::254', 'special'],
  ['fd20:ce::254', 'special'],
  ['192.0.0.192', 'special'],
  ['0.0.0.0', 'special'],
  ['255.255.255.255', 'special'],
  ['::', 'special'],
  ['fe80::1%eth0', 'special'],
  ['ff02::1', 'special'],
  ['2001:db8::1', 'special'],
  ['::ffff:127.0.0.1', 'special'],
  ['::ffff:8.8.8.8', 'special'],
  ['::ffff:a9fe:a9fe', 'special'],
  ['64:ff9b::127.0.0.1', 'special'],
  ['64:ff9b::169.254.169.254', 'special'],
  ['64:ff9b:1::8.8.8.8', 'special'],
  ['2002:7f00:1::1', 'special'],
  ['localhost', 'special'],
  ['', 'special']
])('has %s at its place: %s', (address, reach) => {
  expect(reachOf(address)).toBe(reach)
})

it('takes no address of a special block for public, in whatever form of IPv6', () => {
  const v4 = fc.oneof(
    fc.ipV4(),
    fc
      .tuple(fc.constantFrom(...SPECIAL_V4), fc.nat(0xffffffff))
      .map(([[net, prefix], random]) => formatV4(parseV4(net) + (random % 2 ** (32 - prefix))))
  )
  const form = fc.constantFrom(
    (address: string) => address,
    (address: string) => `::ffff:${address}`,
    (address: string) => `::${address}`,
    (address: string) => `64:ff9b::${address}`,
    (address: string) => `64:ff9b:1::${address}`
  )
  fc.assert(
    fc.property(v4, form, (address, write) => {
      if (blocked.check(address)) expect(reachOf(write(address)), write(address)).not.toBe('public')
    }),
    { numRuns: 3_000 }
  )
})

function parseV4(text: string): number {
  return text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}

function formatV4(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.')
}

it('lets nobody lead to what is nearer than itself, or special', () => {
  const led = REACHES.flatMap((from) => REACHES.filter((to) => mayLead(from, to)).map((to) => `${from} ${to}`))
  expect(led).toEqual([
    'public public',
    'private public',
    'private private',
    'loopback public',
    'loopback private',
    'loopback loopback',
    'special public',
    'special private'
  ])
})

it('goes by the farthest of several addresses, so that a public one can not hide behind others', () => {
  expect(farthest(['loopback', 'public', 'private'])).toBe('public')
  expect(farthest(['loopback', 'private'])).toBe('private')
  expect(farthest([])).toBeUndefined()
})
