import { createHmac } from 'node:crypto'

/** The headers by which a receiver knows who sent a message, and when. */
export interface SignatureHeaders {
  readonly 'webhook-id': string
  readonly 'webhook-timestamp': string
  readonly 'webhook-signature'?: string
}

/**
 * Standard Webhooks: HMAC-SHA256 of `id.timestamp.body` under each secret, `v1,BASE64` each, with a space between them.
 * Without a secret there is no signature.
 * @param nowMs when it is sent, in ms since 1970; a receiver refuses what is older than some minutes
 */
export function signatureHeaders(
  { id, body }: { readonly id: string; readonly body: string },
  secrets: readonly Uint8Array[],
  nowMs: number
): SignatureHeaders {
  const timestamp = String(Math.floor(nowMs / 1000))
  const signed = `${id}.${timestamp}.${body}`
  const signatures = secrets.map((secret) => `v1,${createHmac('sha256', secret).update(signed).digest('base64')}`)
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    ...(signatures.length === 0 ? {} : { 'webhook-signature': signatures.join(' ') })
  }
}
