import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { encode, rfc8949EncodeOptions } from 'cborg'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sealEnvelope } from './envelope.ts'
import { isTrustError } from './errors.ts'
import { peerIdOf } from './keys.ts'
import { sealRoster } from './roster.ts'
import {
  checkAdmission,
  formatTicket,
  MAX_TICKET_BYTES,
  openTicket,
  parseTicket,
  sealTicket,
  type Ticket
} from './ticket.ts'

const KIND = { domain: 'layermesh-ticket', payloadType: '/layermesh/ticket/1', maxEnvelopeBytes: 1e6 }
const key = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(7))
const peerId = peerIdOf(await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(1)))
const ticket: Ticket = { id: 't1', peerId, issuedAt: 1_800_000_000_000, expiresAt: 1_800_604_800_000 }
const anybody = () => true
const malformed = expect.objectContaining({ code: 'RECORD_MALFORMED' })
const refused = expect.objectContaining({ code: 'TICKET_REFUSED' })

describe('an admission ticket', () => {
  it('is read as it was signed, also from its file', async () => {
    const tickets = fc.record({
      id: fc.stringMatching(/^[A-Za-z0-9]{1,64}$/),
      peerId: fc.constant(peerId),
      issuedAt: fc.nat(2 ** 40),
      expiresAt: fc.integer({ min: 2 ** 41, max: Number.MAX_SAFE_INTEGER })
    })
    await fc.assert(
      fc.asyncProperty(tickets, async (made) => {
        const sealed = await sealTicket(made, key)
        const opened = { ticket: made, signer: peerIdOf(key) }
        expect(await openTicket(sealed, anybody)).toEqual(opened)
        expect(await openTicket(parseTicket(`${formatTicket(sealed)}\n`), anybody)).toEqual(opened)
      })
    )
  })

  it('is refused with any one bit flipped', async () => {
    const sealed = await sealTicket(ticket, key)
    await fc.assert(
      fc.asyncProperty(fc.nat(sealed.length * 8 - 1), async (bit) => {
        const flipped = Uint8Array.from(sealed)
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        await expect(openTicket(flipped, anybody)).rejects.toSatisfy(isTrustError)
      }),
      { numRuns: 300 }
    )
  })

  it('is refused from a stranger', async () => {
    await expect(openTicket(await sealTicket(ticket, key), () => false)).rejects.toEqual(
      expect.objectContaining({ code: 'SIGNER_NOT_TRUSTED' })
    )
  })

  it.each([
    ['there is an unknown field', { ...ticket, extra: 1 }],
    ['it has no id', { ...ticket, id: '' }],
    ['its id could be more than an id', { ...ticket, id: 'a b' }],
    ['it is for no peer', { ...ticket, peerId: '*' }],
    ['it expires when it is issued', { ...ticket, expiresAt: ticket.issuedAt }]
  ])('is refused when %s, be the signature good', async (_what, payload) => {
    const sealed = await sealEnvelope(KIND, encode(payload, rfc8949EncodeOptions), key)
    await expect(openTicket(sealed, anybody)).rejects.toEqual(malformed)
  })

  it('is no other record, and no other record is a ticket', async () => {
    const { issuedAt, expiresAt } = ticket
    const lists = { revokedPeers: [], revokedTickets: [], revokedKeys: [], apiKeys: [] }
    const roster = await sealRoster({ sequence: 1, issuedAt, expiresAt, ...lists }, key)
    await expect(openTicket(roster, anybody)).rejects.toEqual(malformed)
  })

  it.each(['', 'no ticket!', 'A'.repeat(2 * MAX_TICKET_BYTES + 1), 'line\nline'])('is not read from %j', (text) => {
    expect(() => parseTicket(text)).toThrow(malformed)
  })

  it('admits the peer that it names until it expires', () => {
    checkAdmission(ticket, peerId, ticket.issuedAt)
    checkAdmission(ticket, peerId, ticket.expiresAt - 1)
    expect(() => checkAdmission(ticket, peerId, ticket.expiresAt)).toThrow(refused)
    expect(() => checkAdmission(ticket, peerIdOf(key), ticket.issuedAt)).toThrow(refused)
  })

  it('admits at once where a clock is behind by no more than a minute', () => {
    checkAdmission(ticket, peerId, ticket.issuedAt - 60_000)
    expect(() => checkAdmission(ticket, peerId, ticket.issuedAt - 60_001)).toThrow(refused)
  })
})
