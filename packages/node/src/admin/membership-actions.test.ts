import { expect, it } from 'vitest'
import { makeIdentity } from '../testing/notices.ts'
import { membershipActions } from './membership-actions.ts'

const { peerId: peer } = await makeIdentity()
const signal = new AbortController().signal

function actionsOf(seed: Parameters<typeof membershipActions>[0]['seed']) {
  const rosters = { revokedPeers: () => [{ peerId: peer, revokedBy: ['s'] }] }
  return new Map(
    membershipActions({ rosters, bySecret: true, seed }).map((action) => [`${action.method} ${action.path}`, action])
  )
}

it('leaves to seeds what only they can do, and shows at every node who is revoked', async () => {
  const actions = actionsOf(undefined)
  expect(await actions.get('GET peers/revoked')?.run({}, signal)).toEqual({
    peers: [{ peerId: peer, revokedBy: ['s'] }]
  })
  for (const [name, input] of [
    ['POST peers/revoke', { peerId: peer }],
    ['POST peers/restore', { peerId: peer }],
    ['GET tickets', {}],
    ['POST tickets', { peerId: peer, validMs: 60_000 }],
    ['POST tickets/revoke', { id: 't1' }]
  ] as const) {
    await expect(actions.get(name)?.run(input, signal), name).rejects.toMatchObject({ code: 'NOT_A_SEED', status: 409 })
  }
})

it('takes peer ids, ids of tickets and times that can be, and nothing else', () => {
  const actions = actionsOf(undefined)
  const takes = (name: string, input: unknown) => actions.get(name)?.input.safeParse(input).success
  expect(takes('POST peers/revoke', { peerId: peer })).toBe(true)
  for (const peerId of ['', 'alice', `${peer}x`, `../${peer}`, 5])
    expect(takes('POST peers/revoke', { peerId })).toBe(false)
  expect(takes('POST tickets', { peerId: peer, validMs: 59_999 })).toBe(false)
  expect(takes('POST tickets', { peerId: peer, validMs: 1e15 })).toBe(false)
  expect(takes('POST tickets', { peerId: peer, validMs: 60_000, extra: 1 })).toBe(false)
  expect(takes('POST tickets/revoke', { id: 'a b' })).toBe(false)
})
