import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Endpoint } from '../endpoint.ts'
import { EventPattern } from '../event-pattern.ts'
import type { WebhookEvent } from '../events.ts'
import { Webhooks, type WebhooksComponents, type WebhooksOptions } from '../webhooks.ts'

export const PEER_ID = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'
export const DIGEST = `sha256:${'a'.repeat(64)}`
export const CONTEXT = Object.freeze({ peerId: PEER_ID, registryUrl: 'http://127.0.0.1:5000' })

export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-webhooks-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

export function endpointOf(url: string, given: Partial<Endpoint> = {}): Endpoint {
  return {
    name: 'ci',
    url,
    format: 'cloudevents',
    events: [new EventPattern('*')],
    acceptsRepository: () => true,
    ignoreMediaTypes: [],
    allowPrivateAddresses: true,
    timeoutMs: 5_000,
    maxAttempts: 20,
    ...given
  }
}

export function pushed(tag: string): WebhookEvent {
  const data = { repository: 'team/app', tag, digest: DIGEST, mediaType: 'application/json', size: 7 }
  return { name: 'manifest.pushed', data }
}

export function pulled(size: number): WebhookEvent {
  return { name: 'blob.pulled', data: { repository: 'team/app', digest: DIGEST, size } }
}

/** What webhooks told their observer, such as `dropped ci full 2`. */
export class Notes {
  readonly lines: string[] = []
  readonly delivered = (endpoint: string) => void this.lines.push(`delivered ${endpoint}`)
  readonly failed = (endpoint: string) => void this.lines.push(`failed ${endpoint}`)
  readonly dead = (endpoint: string) => void this.lines.push(`dead ${endpoint}`)
  readonly dropped = (endpoint: string, reason: string, count: number) =>
    void this.lines.push(`dropped ${endpoint} ${reason} ${count}`)

  count(line: string): number {
    return this.lines.filter((each) => each === line).length
  }
}

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

export interface Opened {
  readonly webhooks: Webhooks
  readonly notes: Notes
  readonly directory: string
  /** Stops them now rather than when the test ends. */
  stop(): Promise<void>
}

/** Webhooks that are stopped when the test ends; waiting takes no time. */
export async function openWebhooks(
  endpoints: readonly Endpoint[],
  { components, ...options }: Partial<WebhooksOptions> & { components?: Partial<WebhooksComponents> } = {}
): Promise<Opened> {
  const directory = options.directory ?? (await temporaryDirectory())
  const notes = new Notes()
  const webhooks = await Webhooks.open(
    { log: SILENT, observer: notes, context: () => CONTEXT, sleep: async () => {}, ...components },
    { endpoints, userAgent: 'layermesh/test', directory, ...options }
  )
  let stopped: Promise<void> | undefined
  const stop = () => {
    stopped ??= webhooks.stop(AbortSignal.abort())
    return stopped
  }
  onTestFinished(stop)
  return { webhooks, notes, directory, stop }
}
