import { createPrivateKey, X509Certificate } from 'node:crypto'
import { open } from 'node:fs/promises'
import { createSecureContext, type SecureContextOptions } from 'node:tls'

/** Where the certificate and what belongs to it are, each in PEM (RFC 7468). */
export interface TlsFiles {
  /** The certificate, followed by those of the intermediate authorities. */
  readonly certificate: string
  /** Its private key, not encrypted. */
  readonly key: string
  /** Certificates of the authorities that sign those of clients. Without them no client is asked for one. */
  readonly clientCa?: string
}

/** The contents of {@link TlsFiles}, which fit together. */
export interface TlsMaterial {
  readonly certificate: string
  readonly key: string
  readonly clientCa: string | undefined
  /** From when to when the certificate holds. */
  readonly validFrom: Date
  readonly validTo: Date
}

/** TLS can't be used with these files; the message names the one that is wrong. */
export class TlsError extends Error {
  override readonly name = 'TlsError'
  readonly code = 'TLS_UNUSABLE'
}

const MAX_FILE_BYTES = 1024 * 1024
const BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g
const BEGIN = /-----BEGIN /g

/** Reads the files and checks that a server can use them. @throws {TlsError} */
export async function readTlsMaterial(files: TlsFiles): Promise<TlsMaterial> {
  const [certificate, key, clientCa] = await Promise.all([
    readPem(files.certificate),
    readPem(files.key),
    files.clientCa === undefined ? undefined : readPem(files.clientCa)
  ])
  const [leaf] = parseCertificates(certificate, files.certificate)
  if (clientCa !== undefined && files.clientCa !== undefined) parseCertificates(clientCa, files.clientCa)
  const isPair = attempt(`${files.key} holds no private key that can be read`, () =>
    leaf?.checkPrivateKey(createPrivateKey(key))
  )
  if (leaf === undefined || !isPair) {
    throw new TlsError(`the key in ${files.key} does not belong to the certificate in ${files.certificate}`)
  }
  const { validFrom, validTo } = leaf
  const material = { certificate, key, clientCa, validFrom: new Date(validFrom), validTo: new Date(validTo) }
  attempt(`the certificate in ${files.certificate} can not be used`, () =>
    createSecureContext(contextOptions(material))
  )
  return material
}

/** What TLS runs with; nothing before 1.2. */
export function contextOptions({ certificate, key, clientCa }: TlsMaterial): SecureContextOptions {
  return { cert: certificate, key, minVersion: 'TLSv1.2', ...(clientCa === undefined ? {} : { ca: clientCa }) }
}

async function readPem(path: string): Promise<string> {
  try {
    await using file = await open(path, 'r')
    const { size } = await file.stat()
    if (size > MAX_FILE_BYTES) throw new TlsError(`${path} has ${size} bytes, which is no certificate or key`)
    return await file.readFile('utf8')
  } catch (cause) {
    if (cause instanceof TlsError) throw cause
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    throw new TlsError(`${path} can not be read (${code})`, { cause })
  }
}

/** All certificates of a file; one that is cut off makes the whole unusable. */
function parseCertificates(pem: string, path: string): X509Certificate[] {
  const blocks = pem.match(BLOCK) ?? []
  if (blocks.length === 0 || blocks.length !== pem.match(BEGIN)?.length) {
    throw new TlsError(`${path} does not hold whole certificates in PEM and nothing else`)
  }
  return attempt(`${path} holds a certificate that can not be read`, () =>
    blocks.map((block) => new X509Certificate(block))
  )
}

function attempt<T>(message: string, act: () => T): T {
  try {
    return act()
  } catch (cause) {
    throw new TlsError(message, { cause })
  }
}
