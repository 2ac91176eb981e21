import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runOk } from '../../support/process.ts'
import type { Sandbox } from '../../support/sandbox.ts'

export interface Certificate {
  readonly key: string
  readonly cert: string
}

/** A certificate for 127.0.0.1 that signs itself, of the kind of key that most servers have today. */
export async function makeCertificate(sandbox: Sandbox): Promise<Certificate> {
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(sandbox.directory, name)) as [string, string]
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2']
  await runOk('openssl', ['req', '-x509', ...curve, ...subject, '-keyout', key, '-out', cert])
  return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') }
}
