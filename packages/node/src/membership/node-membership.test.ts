import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { formatTicket, sealTicket } from '@layermesh/trust'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { newClusterSecret } from '../config/secret.ts'
import { createLog } from '../log.ts'
import { makeIdentity } from '../testing/notices.ts'
import { NodeMembership, type NodeMembershipOptions } from './node-membership.ts'

const NOW = 1_800_000_000_000
const seed = await makeIdentity()
const other = await makeIdentity()
const { peerId: peer } = await makeIdentity()
const { peerId: self } = await makeIdentity()
const refusal = (code: string) => expect.objectContaining({ code })

let directory: string
let signers: string[]
let revokedSeeds: string[]
let revokedPeers: string[]
let revokedTickets: string[]
let tellOfNotice: () => void
const opened: NodeMembership[] = []
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layermesh-membership-'))
  signers = [seed.peerId]
  revokedSeeds = []
  revokedPeers = []
  revokedTickets = []
})
afterEach(async () => {
  for (const membership of opened.splice(0)) membership.stop()
  await rm(directory, { recursive: true })
})

async function open(options: NodeMembershipOptions): Promise<NodeMembership> {
  const membership = await NodeMembership.open(
    {
      peerId: self,
      rosters: {
        isRevokedPeer: (peerId) => revokedPeers.includes(peerId),
        isRevokedTicket: (id) => revokedTickets.includes(id)
      },
      trust: { isSigner: (peerId) => signers.includes(peerId), isRevoked: (peerId) => revokedSeeds.includes(peerId) },
      board: {
        onChange: (listener) => {
          tellOfNotice = listener
          return () => {}
        }
      },
      log: createLog({ level: 'silent', format: 'json' }),
      now: () => NOW
    },
    { filesEveryMs: 5, ...options }
  )
  opened.push(membership)
  return membership
}

async function file(name: string, text: string): Promise<string> {
  const path = join(directory, name)
  await writeFile(path, text, { mode: 0o600 })
  return path
}

const ticket = (change: object = {}, by = seed) =>
  sealTicket({ id: 't1', peerId: peer, issuedAt: NOW, expiresAt: NOW + 1000, ...change }, by.privateKey)

const change = (membership: NodeMembership) =>
  new Promise<void>((resolve) => {
    const end = membership.onChange(() => {
      end()
      resolve()
    })
  })

describe('the membership of a node', () => {
  it('is open only when neither secret nor ticket is asked for', async () => {
    const secretFile = await file('secret', newClusterSecret())
    expect((await open({ admission: 'secret' })).admission).toBe('open')
    expect((await open({ admission: 'secret', secretFile })).admission).toBe('secret')
    expect((await open({ admission: 'ticket' })).admission).toBe('ticket')
    expect((await open({ admission: 'either' })).admission).toBe('either')
  })

  it('follows the files of its secrets and its ticket', async () => {
    const [first, second] = [newClusterSecret(), newClusterSecret()]
    const secretFile = await file('secret', first)
    const ticketFile = await file('ticket', formatTicket(await ticket({ peerId: self })))
    const membership = await open({ admission: 'either', secretFile, ticketFile })
    expect(membership.secrets()).toHaveLength(1)
    const changed = change(membership)
    await file('secret', `${second}\n${first}\n`)
    await changed
    expect(membership.secrets().map((secret) => Buffer.from(secret).toString('base64url'))).toEqual([second, first])
    const renewed = change(membership)
    await file('ticket', formatTicket(await ticket({ id: 't2', peerId: self })))
    await renewed
    expect(membership.ticket()).toEqual(await ticket({ id: 't2', peerId: self }))
  })

  it('does not begin with files that can not be used', async () => {
    const secretFile = await file('secret', 'hunter2')
    await expect(open({ admission: 'secret', secretFile })).rejects.toEqual(refusal('SECRET_UNUSABLE'))
    const ticketFile = await file('ticket', 'no ticket')
    await expect(open({ admission: 'ticket', ticketFile })).rejects.toEqual(refusal('TICKET_UNUSABLE'))
    const another = await file('other', formatTicket(await ticket()))
    await expect(open({ admission: 'ticket', ticketFile: another })).rejects.toThrow(`is for ${peer}`)
    const none = join(directory, 'none')
    await expect(open({ admission: 'ticket', ticketFile: none })).rejects.toThrow('ENOENT')
  })

  it('takes a ticket of a trusted seed for this very peer until it expires or is revoked', async () => {
    const membership = await open({ admission: 'ticket' })
    const hold = { id: 't1', signer: seed.peerId, expiresAt: NOW + 1000 }
    expect(await membership.checkTicket(await ticket(), peer)).toEqual(hold)
    expect(membership.holds(hold)).toBe(true)
    for (const [bad, code] of [
      [await ticket({}, other), 'SIGNER_NOT_TRUSTED'],
      [await ticket({ peerId: other.peerId }), 'TICKET_REFUSED'],
      [await ticket({ issuedAt: NOW - 2, expiresAt: NOW }), 'TICKET_REFUSED'],
      [await ticket({ issuedAt: NOW + 60_001, expiresAt: NOW + 90_000 }), 'TICKET_REFUSED'],
      [Buffer.from('garbage'), 'RECORD_MALFORMED']
    ] as const) {
      await expect(membership.checkTicket(bad, peer)).rejects.toEqual(refusal(code))
    }
    revokedTickets = ['t1']
    await expect(membership.checkTicket(await ticket(), peer)).rejects.toEqual(refusal('TICKET_REFUSED'))
    expect(membership.holds(hold)).toBe(false)
    revokedTickets = []
    signers = []
    expect(membership.holds(hold)).toBe(false)
    await expect(membership.checkTicket(await ticket(), peer)).rejects.toEqual(refusal('SIGNER_NOT_TRUSTED'))
  })

  it('keeps out whom a roster or the seed set revokes, and tells when a notice may have changed that', async () => {
    const membership = await open({ admission: 'secret' })
    revokedPeers = [peer]
    revokedSeeds = [other.peerId]
    expect([peer, other.peerId, seed.peerId].map((peerId) => membership.isRevoked(peerId))).toEqual([true, true, false])
    const changed = change(membership)
    tellOfNotice()
    await changed
  })
})
