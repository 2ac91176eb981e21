import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openTicket, parseTicket } from '@layermesh/trust'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { makeIdentity } from '../testing/notices.ts'
import { TicketOffice } from './ticket-office.ts'

const seed = await makeIdentity()
const { peerId: peer } = await makeIdentity()

let dataDir: string
let now: number
let revoked: string[]
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'layermesh-tickets-'))
  now = 1_800_000_000_000
  revoked = []
})
afterEach(() => rm(dataDir, { recursive: true }))

const open = () =>
  new TicketOffice({
    dataDir,
    privateKey: seed.privateKey,
    authority: { revokeTicket: async (id) => void revoked.push(id) },
    rosters: { isRevokedTicket: (id) => revoked.includes(id) },
    now: () => now
  })

it('signs tickets and lists those that are out, also after a restart', async () => {
  const office = open()
  const issued = await Promise.all([1_000, 2_000].map((validMs) => office.issue(peer, validMs)))
  const [first, second] = issued
  if (!first || !second) throw new Error('none')
  const opened = await openTicket(parseTicket(first.text), (signer) => signer === seed.peerId)
  expect(opened.ticket).toEqual(first.ticket)
  expect(first.ticket).toMatchObject({ peerId: peer, issuedAt: now, expiresAt: now + 1_000 })
  await office.revoke(first.ticket.id)
  expect(await open().list()).toEqual([
    { ...first.ticket, revoked: true },
    { ...second.ticket, revoked: false }
  ])
  now += 1_000
  expect(await open().list()).toEqual([{ ...second.ticket, revoked: false }])
  expect(first.ticket.id).not.toBe(second.ticket.id)
})

it('does not write over a list that it can not read', async () => {
  await writeFile(join(dataDir, 'tickets.json'), '{"half":')
  await expect(open().issue(peer, 1_000)).rejects.toMatchObject({ code: 'TICKETS_UNREADABLE' })
})
