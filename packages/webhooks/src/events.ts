/*
 * All that webhooks can tell of. The types below, the filters of endpoints and EVENTS.md follow from these two tables.
 */

/** What an event tells, by field. */
export interface EventFields {
  /** The canonical key: `team/app`, or with the registry host for a mirrored one. */
  readonly repository: string
  readonly digest: string
  readonly tag: string
  readonly mediaType: string
  readonly size: number
  readonly from: string
  readonly previousDigest: string
  readonly tagSequence: number
  readonly actor: string
  readonly via: string
  readonly request: RequestFields
  readonly peerId: string
  readonly reason: string
  readonly until: string
  readonly zone: string
  readonly nodes: number
}

/** The request of a client that caused an event. */
export interface RequestFields {
  readonly id: string
  readonly method: string
  readonly address: string
  readonly host?: string
  readonly userAgent?: string
}

export const FIELD_MEANINGS: Readonly<Record<keyof EventFields, string>> = Object.freeze({
  repository: 'The repository: `team/app`, or with the registry host for a mirrored one, `docker.io/library/nginx`.',
  digest: 'Digest of the blob or manifest; of a tag, what it means now.',
  tag: 'The tag.',
  mediaType: 'Media type of the manifest.',
  size: 'Length of the blob or manifest in bytes.',
  from: 'The repository that a blob was mounted from.',
  previousDigest: 'What the tag meant before.',
  tagSequence: 'Sequence number of the signed record of the tag.',
  actor: 'Name of the user who did it, or `upstream:docker.io` of a mirrored tag; not there for the anonymous.',
  via: 'Peer id of the node that passed it on to the seed for its client.',
  request: 'The client’s request: `id`, `method`, `address` (IP), and `host` and `userAgent` as the client told them.',
  peerId: 'Peer id of the node that it is about.',
  reason: 'Why, as a short name.',
  until: 'RFC 3339: when it ends.',
  zone: 'Name of the zone.',
  nodes: 'How many nodes of the zone have all of the image.'
})

interface EventDefinition {
  readonly when: string
  readonly always: readonly (keyof EventFields)[]
  readonly maybe: readonly (keyof EventFields)[]
  /** What the event is in the envelope of Docker's distribution; undefined when it has none. */
  readonly docker?: 'push' | 'pull' | 'mount' | 'delete'
  /** Of little worth and great number: dropped before all others when there is no room. */
  readonly expendable?: true
}

/** All events by name. The CloudEvents type of `manifest.pushed` is `dev.layermesh.manifest.pushed.v1`. */
export const EVENTS = Object.freeze({
  'manifest.pushed': {
    when: 'A manifest was pushed; once for each tag of the push. A seed tells of those too that a node passed on.',
    always: ['repository', 'digest', 'mediaType', 'size'],
    maybe: ['tag', 'actor', 'via', 'request'],
    docker: 'push'
  },
  'manifest.pulled': {
    when: 'A client took a manifest.',
    always: ['repository', 'digest'],
    maybe: ['tag', 'mediaType', 'size', 'actor', 'request'],
    docker: 'pull',
    expendable: true
  },
  'manifest.deleted': {
    when: 'A manifest was deleted, with the tags that meant it.',
    always: ['repository', 'digest'],
    maybe: ['actor', 'via', 'request'],
    docker: 'delete'
  },
  'blob.pushed': {
    when: 'A blob was pushed.',
    always: ['repository', 'digest'],
    maybe: ['size', 'actor', 'request'],
    docker: 'push'
  },
  'blob.pulled': {
    when: 'A client took a blob, or a part of it.',
    always: ['repository', 'digest'],
    maybe: ['size', 'actor', 'request'],
    docker: 'pull',
    expendable: true
  },
  'blob.mounted': {
    when: 'A blob of another repository was put into this one.',
    always: ['repository', 'digest'],
    maybe: ['size', 'from', 'actor', 'request'],
    docker: 'mount'
  },
  'blob.deleted': {
    when: 'A blob was taken out of a repository.',
    always: ['repository', 'digest'],
    maybe: ['actor', 'via', 'request'],
    docker: 'delete'
  },
  'tag.set': {
    when: 'A seed signed a tag that was not there before, or was told again to have it mean what it means.',
    always: ['repository', 'tag', 'digest', 'mediaType', 'size', 'tagSequence'],
    maybe: ['actor', 'via']
  },
  'tag.moved': {
    when: 'A seed signed that a tag means another manifest than before.',
    always: ['repository', 'tag', 'digest', 'previousDigest', 'mediaType', 'size', 'tagSequence'],
    maybe: ['actor', 'via']
  },
  'tag.deleted': {
    when: 'A seed signed that a tag is deleted.',
    always: ['repository', 'tag', 'previousDigest', 'tagSequence'],
    maybe: ['actor', 'via'],
    docker: 'delete'
  },
  'tag.restored': {
    when: 'A seed signed a tag that was deleted before.',
    always: ['repository', 'tag', 'digest', 'mediaType', 'size', 'tagSequence'],
    maybe: ['actor', 'via']
  },
  'image.distributed': {
    when: 'Every node of a zone that the seed is connected to has all of an image; once for each zone.',
    always: ['repository', 'digest', 'zone', 'nodes'],
    maybe: []
  },
  'peer.banned': {
    when: 'A peer that lied or broke a protocol was shut out.',
    always: ['peerId', 'reason', 'until'],
    maybe: []
  },
  ping: {
    when: 'An operator tests the endpoint: `layermesh webhook test NAME`. Sent whatever the endpoint asks for.',
    always: [],
    maybe: []
  }
}) satisfies Readonly<Record<string, EventDefinition>>

export type EventName = keyof typeof EVENTS

/** What an event of this name tells. */
export type EventData<Name extends EventName> = Pick<EventFields, (typeof EVENTS)[Name]['always'][number]> &
  Partial<Pick<EventFields, (typeof EVENTS)[Name]['maybe'][number]>>

/** Something that happened. */
export type WebhookEvent = { [Name in EventName]: { readonly name: Name; readonly data: EventData<Name> } }[EventName]

/** An event as it is kept and sent: the same at each attempt. */
export interface RecordedEvent {
  /** A ULID: unique, and in the order of time. */
  readonly id: string
  /** Counts the events that this node recorded. */
  readonly sequence: number
  readonly name: EventName
  /** RFC 3339. */
  readonly time: string
  readonly data: Partial<EventFields>
}

/** The definition of an event. */
export function definitionOf(name: EventName): EventDefinition {
  return EVENTS[name]
}

/** The CloudEvents type. */
export function typeOf(name: EventName): string {
  return `dev.layermesh.${name}.v1`
}

/** What an event is about: `team/app:1`, `team/app@sha256:…`, or a peer id. */
export function subjectOf({ repository, tag, digest, peerId }: Partial<EventFields>): string | undefined {
  if (repository === undefined) return peerId
  if (tag !== undefined) return `${repository}:${tag}`
  return digest === undefined ? repository : `${repository}@${digest}`
}
