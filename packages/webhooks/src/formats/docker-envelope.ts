import { definitionOf, type EventFields, type RecordedEvent } from '../events.ts'
import type { FormatContext, Message } from './message.ts'

const MEDIA_TYPE = 'application/vnd.docker.distribution.events.v2+json'
const BLOB_TYPE = 'application/octet-stream'

/**
 * The envelope in which Docker's distribution notifies, with one event (distribution, notifications/event.go). A ping
 * has none, since there is no action for it.
 */
export function toDockerEnvelope(event: RecordedEvent, context: FormatContext): Message {
  const action = definitionOf(event.name).docker
  const events = action === undefined ? [] : [dockerEvent(event, action, context)]
  return { id: event.id, contentType: MEDIA_TYPE, body: JSON.stringify({ events }) }
}

function dockerEvent(event: RecordedEvent, action: string, { peerId, registryUrl }: FormatContext) {
  const { id, time, data } = event
  return {
    id,
    timestamp: time,
    action,
    target: target(event, registryUrl),
    request: data.request && {
      id: data.request.id,
      addr: data.request.address,
      host: data.request.host,
      method: data.request.method,
      useragent: data.request.userAgent
    },
    actor: { name: data.actor },
    source: { addr: new URL(registryUrl).host, instanceID: peerId }
  }
}

function target({ name, data }: RecordedEvent, registryUrl: string) {
  const { repository, digest, tag, size, from } = data
  return {
    mediaType: mediaTypeOf(name, data),
    size,
    digest,
    length: size,
    repository,
    fromRepository: from,
    url: digest === undefined ? undefined : `${registryUrl}/v2/${repository}/${kindOf(name)}/${digest}`,
    tag
  }
}

/** The media type by which an endpoint can leave events out. */
export function mediaTypeOf(name: RecordedEvent['name'], { mediaType }: Partial<EventFields>): string | undefined {
  return kindOf(name) === 'blobs' ? BLOB_TYPE : mediaType
}

function kindOf(name: RecordedEvent['name']): 'blobs' | 'manifests' {
  return name.startsWith('blob.') ? 'blobs' : 'manifests'
}
