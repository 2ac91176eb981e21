export const FORMATS = ['cloudevents', 'docker'] as const
export type Format = (typeof FORMATS)[number]

/** What the formats tell of this node. */
export interface FormatContext {
  readonly peerId: string
  /** `http://HOST:PORT` under which clients find the registry. */
  readonly registryUrl: string
}

/** What is sent: the same bytes at each attempt. */
export interface Message {
  readonly id: string
  readonly contentType: string
  readonly body: string
}
