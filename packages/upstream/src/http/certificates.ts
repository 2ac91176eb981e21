import { readFile } from 'node:fs/promises'
import { UpstreamError } from '../errors.ts'
import { errorCode } from './failures.ts'

/** Reads the certificates that are trusted for a registry. @throws {UpstreamError} UNREACHABLE when there are none */
export async function readCertificates(registry: string, path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    const reason = `can not be read (${errorCode(cause) ?? String(cause)})`
    throw new UpstreamError('UNREACHABLE', registry, `${registry}: its caFile ${path} ${reason}`, { cause })
  })
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text
  throw new UpstreamError('UNREACHABLE', registry, `${registry}: its caFile ${path} holds no certificate in PEM`)
}
