import type { EventPattern } from './event-pattern.ts'
import { definitionOf, type WebhookEvent } from './events.ts'
import { mediaTypeOf } from './formats/docker-envelope.ts'
import type { Format } from './formats/message.ts'

/** A receiver, and what it wants to hear of. */
export interface Endpoint {
  /** Letters, digits and dashes: part of keys and labels. */
  readonly name: string
  /** `http:` or `https:`, without credentials. */
  readonly url: string
  readonly format: Format
  readonly events: readonly EventPattern[]
  /** Whether it asks for events of this repository. Events of none are not asked about. */
  acceptsRepository(repository: string): boolean
  /** Of the format `docker`: events of manifests and blobs of these media types are left out. */
  readonly ignoreMediaTypes: readonly string[]
  /** Undefined: deliveries are not signed. */
  readonly secretFile?: string
  readonly headersFile?: string
  readonly caFile?: string
  readonly allowPrivateAddresses: boolean
  readonly timeoutMs: number
  /** After so many an event is given up. */
  readonly maxAttempts: number
}

/** Whether an endpoint could ask for events of this name, whatever they are about. */
export function asksFor({ events, format }: Endpoint, name: WebhookEvent['name']): boolean {
  if (format === 'docker' && definitionOf(name).docker === undefined) return false
  return events.some((pattern) => pattern.matches(name))
}

/** Whether an endpoint wants this event. */
export function wants(endpoint: Endpoint, { name, data }: WebhookEvent): boolean {
  if (!asksFor(endpoint, name)) return false
  if ('repository' in data && !endpoint.acceptsRepository(data.repository)) return false
  if (endpoint.format !== 'docker') return true
  const mediaType = mediaTypeOf(name, data)
  return mediaType === undefined || !endpoint.ignoreMediaTypes.includes(mediaType)
}
