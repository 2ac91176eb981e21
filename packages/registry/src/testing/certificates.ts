import 'reflect-metadata'
import { randomBytes, webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const HOUR_MS = 3_600_000

/** A certificate and its key in PEM. */
export interface Issued {
  readonly certificate: string
  readonly key: string
}

/** An authority that signs certificates for tests. */
export class TestCa {
  /** Its own certificate in PEM. */
  readonly certificate: string
  readonly #issuer: x509.X509Certificate
  readonly #keys: webcrypto.CryptoKeyPair

  private constructor(issuer: x509.X509Certificate, keys: webcrypto.CryptoKeyPair) {
    this.#issuer = issuer
    this.#keys = keys
    this.certificate = issuer.toString('pem')
  }

  static async create(name: string): Promise<TestCa> {
    x509.cryptoProvider.set(webcrypto as never)
    const keys = await newKeys()
    const issuer = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: newSerial(),
      name: `CN=${name}`,
      ...validity(HOUR_MS),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [new x509.BasicConstraintsExtension(true, 1, true)]
    })
    return new TestCa(issuer, keys)
  }

  /** For a server at 127.0.0.1 and localhost, or a client of that common name. */
  async issue(name: string, { validForMs = HOUR_MS }: { validForMs?: number } = {}): Promise<Issued> {
    const keys = await newKeys()
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: newSerial(),
      subject: `CN=${name}`,
      issuer: this.#issuer.subject,
      ...validity(validForMs),
      signingAlgorithm: ALGORITHM,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      extensions: [
        new x509.SubjectAlternativeNameExtension([
          { type: 'ip', value: '127.0.0.1' },
          { type: 'dns', value: 'localhost' }
        ])
      ]
    })
    const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)
    return { certificate: certificate.toString('pem'), key: x509.PemConverter.encode(key, 'PRIVATE KEY') }
  }
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>
}

function newSerial(): string {
  return `01${randomBytes(8).toString('hex')}`
}

function validity(lengthMs: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(Date.now() - HOUR_MS), notAfter: new Date(Date.now() + lengthMs) }
}
