import type { PeerCertificate } from 'node:tls'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { CERTIFICATE_NAMES, type CertificateName, identifyCertificate } from './certificate.ts'

const UNAUTHORIZED = expect.objectContaining({ code: 'UNAUTHORIZED' })

function certificate(fields: Record<string, unknown>): PeerCertificate {
  return { subject: {}, valid_to: 'Nov 26 04:00:00 2027 GMT', ...fields } as unknown as PeerCertificate
}

const nameIn = (part: CertificateName, fields: Record<string, unknown>) =>
  identifyCertificate(certificate(fields), part).name

it('finds the name where the configuration says it is', () => {
  const fields = {
    subject: { CN: 'alice', O: 'corp' },
    subjectaltname: 'DNS:ci.example, URI:spiffe://mesh/ci, email:alice@example.org, IP Address:192.0.2.1'
  }
  expect(nameIn('commonName', fields)).toBe('alice')
  expect(nameIn('dns', fields)).toBe('ci.example')
  expect(nameIn('uri', fields)).toBe('spiffe://mesh/ci')
  expect(nameIn('email', fields)).toBe('alice@example.org')
})

it('tells until when the certificate holds', () => {
  const { source, expiresAtMs } = identifyCertificate(certificate({ subject: { CN: 'alice' } }), 'commonName')
  expect(source).toEqual({ kind: 'certificate', id: '' })
  expect(expiresAtMs).toBe(Date.parse('2027-11-26T04:00:00Z'))
})

it.each([
  ['no name', 'commonName', {}],
  ['no subject', 'commonName', { subject: undefined }],
  ['an empty name', 'commonName', { subject: { CN: '' } }],
  ['two names', 'commonName', { subject: { CN: ['alice', 'bob'] } }],
  ['a name with a line end', 'commonName', { subject: { CN: 'alice\nbob' } }],
  ['a name without end', 'commonName', { subject: { CN: 'a'.repeat(256) } }],
  ['no alternative names', 'dns', {}],
  ['only other alternative names', 'dns', { subjectaltname: 'URI:spiffe://mesh/ci' }],
  ['two names of the kind', 'dns', { subjectaltname: 'DNS:a.example, DNS:b.example' }],
  ['alternative names that can not be read', 'dns', { subjectaltname: 'DNS:a.example, "' }]
] as const)('refuses a certificate with %s', (_, part, fields) => {
  expect(() => nameIn(part, fields)).toThrow(UNAUTHORIZED)
})

it('does not take a part of one name for another name', () => {
  const forged = { subjectaltname: 'URI:"https://evil.example/, DNS:alice.example"' }
  expect(() => nameIn('dns', forged)).toThrow(UNAUTHORIZED)
  expect(nameIn('uri', forged)).toBe('https://evil.example/, DNS:alice.example')
})

it('finds a name or refuses, whatever the certificate holds', () => {
  fc.assert(
    fc.property(fc.string(), fc.constantFrom(...CERTIFICATE_NAMES), (text, part) => {
      try {
        expect(nameIn(part, { subject: { CN: text }, subjectaltname: text })).toMatch(/./)
      } catch (error) {
        expect(error).toEqual(UNAUTHORIZED)
      }
    }),
    { numRuns: 2_000 }
  )
})
