import { BlockList, type LookupFunction } from 'node:net'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { guardedLookup, isPublicAddress, refuseLiteral } from './addresses.ts'

/** IANA's special-purpose registries, written down once more, as Node's own list. */
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

const v4 = fc.oneof(
  fc.ipV4(),
  fc
    .tuple(fc.constantFrom(...SPECIAL_V4), fc.nat(0xffffffff))
    .map(([[net, prefix], random]) => formatV4(parseV4(net) + (random % 2 ** (32 - prefix))))
)

function parseV4(text: string): number {
  return text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}

function formatV4(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.')
}

function hex(text: string): string {
  const value = parseV4(text)
  return `${Math.floor(value / 65536).toString(16)}:${(value % 65536).toString(16)}`
}

it('takes no IPv4 address of a special block for public', () => {
  fc.assert(
    fc.property(v4, (address) => {
      if (blocked.check(address)) expect(isPublicAddress(address), address).toBe(false)
    }),
    { numRuns: 2_000 }
  )
})

it('takes no IPv6 form of any IPv4 address for public', () => {
  const forms = fc.constantFrom(
    (address: string) => `::ffff:${address}`,
    (address: string) => `::${address}`,
    (address: string) => `::ffff:0:${address}`,
    (address: string) => `64:ff9b::${address}`,
    (address: string) => `64:ff9b:1::${address}`,
    (address: string) => `2002:${hex(address)}::1`,
    (address: string) => `2001:0:${hex(address)}::1`
  )
  fc.assert(fc.property(v4, forms, (address, form) => !isPublicAddress(form(address))))
})

it('takes nothing outside 2000::/3 for public', () => {
  const v6 = fc.tuple(fc.integer({ min: 0, max: 0xffff }), fc.array(fc.nat(0xffff), { minLength: 7, maxLength: 7 }))
  fc.assert(
    fc.property(v6, ([first, rest]) => {
      const address = [first, ...rest].map((part) => part.toString(16)).join(':')
      if (first < 0x2000 || first > 0x3fff) expect(isPublicAddress(address), address).toBe(false)
    })
  )
})

it.each([
  '127.0.0.1',
  '10.1.2.3',
  '169.254.169.254',
  '100.100.100.200',
  '168.63.129.16',
  '192.0.0.192',
  '0.0.0.0',
  '255.255.255.255',
  '::',
  '::1',
  'fe80::1',
  'fe80::1%eth0',
  'fd00:ec2::254',
  'fec0::1',
  'ff02::1',
  '2001:db8::1',
  '2001:10::1',
  '100::1',
  '::ffff:7f00:1',
  'localhost',
  ''
])('refuses %j', (address) => {
  expect(isPublicAddress(address)).toBe(false)
})

it.each(['8.8.8.8', '1.1.1.1', '172.32.0.1', '100.128.0.1', '2606:4700:4700::1111'])('lets %s', (address) => {
  expect(isPublicAddress(address)).toBe(true)
})

function ask(lookup: LookupFunction, all: boolean): Promise<unknown> {
  return new Promise((resolve, reject) => {
    lookup('hooks.example', { all }, (error, address) => (error ? reject(error) : resolve(address)))
  })
}

it('gives a socket only the addresses of a name that may be reached', async () => {
  const addresses = ['127.0.0.1', '8.8.8.8', '::1', '2606:4700::1'].map((address) => ({
    address,
    family: address.includes(':') ? 6 : 4
  }))
  const lookup = guardedLookup(async () => addresses)
  expect(await ask(lookup, true)).toEqual([addresses[1], addresses[3]])
  expect(await ask(lookup, false)).toBe('8.8.8.8')
})

it('tells the same of every refused target, whether something is there or not', async () => {
  const messages = new Set<string>()
  for (const address of ['127.0.0.1', '10.0.0.1', '169.254.169.254', '::1', 'fd00::1', '192.0.2.1']) {
    const lookup = guardedLookup(async () => [{ address, family: address.includes(':') ? 6 : 4 }])
    for (const refused of [ask(lookup, true), ask(lookup, false), (async () => refuseLiteral(address))()]) {
      const error = await refused.catch((reason: unknown) => reason)
      expect(error).toMatchObject({ code: 'ADDRESS_REFUSED' })
      messages.add((error as Error).message)
    }
  }
  expect(messages.size).toBe(1)
})
