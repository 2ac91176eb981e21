import type { Endpoint } from '../endpoint.ts'
import type { WebhookError } from '../errors.ts'
import { parseHeaders } from '../files/headers.ts'
import { ReloadedFile } from '../files/reloaded-file.ts'
import { parseSecrets } from '../files/secrets.ts'
import type { Resolve } from './addresses.ts'
import { HttpSender, type Sender } from './sender.ts'

/** Files that an endpoint names. */
export type EndpointFiles = Pick<Endpoint, 'secretFile' | 'headersFile' | 'caFile'>

export interface CreateSenderComponents {
  readonly resolve: Resolve
  /** Milliseconds since 1970. */
  now(): number
  readonly log: { error(fields: Readonly<Record<string, unknown>>, message: string): void }
  readonly userAgent: string
}

/** A sender for an endpoint, with what its files hold at each delivery. */
export function createSender(endpoint: Endpoint, { resolve, now, log, userAgent }: CreateSenderComponents): Sender {
  const { name, url, timeoutMs, allowPrivateAddresses } = endpoint
  const onUnusable = (error: WebhookError) =>
    log.error({ webhook: name, reason: error.message }, 'a changed file is not usable; going on with what it held')
  const { secrets, headers, ca } = filesOf(endpoint, onUnusable)
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

/** Reads the files that an endpoint names. @throws {WebhookError} FILE_UNUSABLE */
export async function checkFiles(endpoint: EndpointFiles): Promise<void> {
  for (const file of Object.values(filesOf(endpoint, () => {}))) await file?.read()
}

function filesOf({ secretFile, headersFile, caFile }: EndpointFiles, onUnusable: (error: WebhookError) => void) {
  const open = <Value>(path: string | undefined, what: string, parse: (text: string) => Value, secret: boolean) =>
    path === undefined ? undefined : new ReloadedFile({ path, what, parse, secret, onUnusable })
  return {
    secrets: open(secretFile, 'the secret file', parseSecrets, true),
    headers: open(headersFile, 'the headers file', parseHeaders, true),
    ca: open(caFile, 'the certificates file', parseCertificates, false)
  }
}

/** @throws {TypeError} */
function parseCertificates(text: string): string {
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text
  throw new TypeError('holds no certificate in PEM')
}
