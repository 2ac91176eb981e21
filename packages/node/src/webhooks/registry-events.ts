import type { RegistryEvent } from '@layermesh/registry'
import type { EventName, WebhookEvent } from '@layermesh/webhooks'

const NAMES: Readonly<Record<`${RegistryEvent['action']} ${RegistryEvent['target']}`, EventName | undefined>> = {
  'push manifest': 'manifest.pushed',
  'pull manifest': 'manifest.pulled',
  'delete manifest': 'manifest.deleted',
  'push blob': 'blob.pushed',
  'pull blob': 'blob.pulled',
  'mount blob': 'blob.mounted',
  'delete blob': 'blob.deleted',
  // The seed tells of tags when it signs.
  'delete tag': undefined,
  'push tag': undefined,
  'pull tag': undefined,
  'mount tag': undefined,
  'mount manifest': undefined
}

/** The webhook event that an event of the registry is; undefined when it is none, as a chunk of a push. */
export function eventNameOf({ action, target, digest }: RegistryEvent): EventName | undefined {
  return digest === undefined ? undefined : NAMES[`${action} ${target}`]
}

/** What receivers are told of an event of the registry. */
export function toWebhookEvent(name: EventName, event: RegistryEvent): WebhookEvent {
  const { repository, digest, tag, mediaType, size, from, actor } = event
  const { id, method, remoteAddress: address, host, userAgent } = event
  const request = { id, method, address, ...withoutUndefined({ host, userAgent }) }
  const data = { repository, digest, ...withoutUndefined({ tag, mediaType, size, from, actor }), request }
  return { name, data } as WebhookEvent
}

type Defined<T> = { [Key in keyof T]?: Exclude<T[Key], undefined> }

/** The fields that have a value. */
function withoutUndefined<T extends object>(fields: T): Defined<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<T>
}
