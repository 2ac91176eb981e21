import type { Endpoint } from '../endpoint.ts'
import type { WebhookError } from '../errors.ts'
import { parseHeaders } from '../files/headers.ts'
import { ReloadedFile } from '../files/reloaded-file.ts'
import { parseSecrets } from '../files/secrets.ts'
import type { Resolve } from './addresses.ts'
import { HttpSender, type Sender } from './sender.ts'

export interface CreateSenderComponents {
  readonly resolve: Resolve
  /** Milliseconds since 1970. */
  now(): number
  readonly log: { error(fields: Readonly<Record<string, unknown>>, message: string): void }
  readonly userAgent: string
}

/** A sender for an endpoint, with what its files hold at each delivery. */
export function createSender(endpoint: Endpoint, { resolve, now, log, userAgent }: CreateSenderComponents): Sender {
  const { name, secretFile, headersFile, caFile, url, timeoutMs, allowPrivateAddresses } = endpoint
  const onUnusable = (error: WebhookError) =>
    log.error({ webhook: name, reason: error.message }, 'a changed file is not usable; going on with what it held')
  const read = <Value>(path: string | undefined, what: string, parse: (text: string) => Value, secret: boolean) =>
    path === undefined ? undefined : new ReloadedFile({ path, what, parse, secret, onUnusable })
  const secrets = read(secretFile, 'the secret file', parseSecrets, true)
  const headers = read(headersFile, 'the headers file', parseHeaders, true)
  const ca = read(caFile, 'the certificates file', parseCertificates, false)
  return new HttpSender(
    {
      resolve,
      now,
      secrets: async () => (await secrets?.read()) ?? [],
      headers: async () => (await headers?.read()) ?? {},
      ca: async () => await ca?.read()
    },
    { url, timeoutMs, allowPrivateAddresses, userAgent }
  )
}

/** @throws {TypeError} */
function parseCertificates(text: string): string {
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text
  throw new TypeError('holds no certificate in PEM')
}
