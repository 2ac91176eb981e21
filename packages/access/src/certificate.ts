import type { PeerCertificate } from 'node:tls'
import type { Identity } from './access-types.ts'
import { unauthorized } from './errors.ts'

/** Which part of a client certificate is its user's name. */
export const CERTIFICATE_NAMES = ['commonName', 'uri', 'dns', 'email'] as const
export type CertificateName = (typeof CERTIFICATE_NAMES)[number]

/** The prefixes of Node's `subjectaltname`: `URI:spiffe://mesh/ci, DNS:ci.example`. */
const ALTERNATIVES = { uri: 'URI', dns: 'DNS', email: 'email' } as const
/** Entries that hold a comma, a quote or a control character are written as JSON strings. */
const ENTRY = /(?:^|, )([A-Za-z0-9 ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?=, |$)/gy
const MAX_NAME_LENGTH = 255
const CONTROL = /\p{Cc}/u

/**
 * Who a certificate says the client is, which TLS must have verified. A certificate with several such names belongs to
 * none of them.
 * @throws {OciError} UNAUTHORIZED when it has no such name, or several
 */
export function identifyCertificate(certificate: PeerCertificate, nameIn: CertificateName): Identity {
  const [name, ...more] = namesOf(certificate, nameIn)
  if (name === undefined || more.length > 0 || name === '' || name.length > MAX_NAME_LENGTH || CONTROL.test(name)) {
    throw unauthorized(`the client certificate must have one ${nameIn} that is a name`)
  }
  const expiresAtMs = Date.parse(certificate.valid_to)
  return {
    name,
    groups: [],
    source: { kind: 'certificate', id: '' },
    expiresAtMs: Number.isNaN(expiresAtMs) ? undefined : expiresAtMs
  }
}

function namesOf({ subject, subjectaltname }: PeerCertificate, nameIn: CertificateName): string[] {
  if (nameIn !== 'commonName') return alternatives(subjectaltname ?? '', ALTERNATIVES[nameIn])
  const name: string | readonly string[] | undefined = subject?.CN
  return name === undefined ? [] : [name].flat()
}

/** Reads what Node tells of the alternative names; when any part of it can't be read, none of it counts. */
function alternatives(text: string, kind: string): string[] {
  const names: string[] = []
  let read = 0
  for (const [whole, type, value = ''] of text.matchAll(ENTRY)) {
    read += whole.length
    if (type === kind) names.push(value.startsWith('"') ? String(JSON.parse(value)) : value)
  }
  return read === text.length ? names : []
}
