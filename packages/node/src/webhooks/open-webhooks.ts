import { join } from 'node:path'
import { parseRepository } from '@layermesh/oci'
import { RepositoryPattern } from '@layermesh/trust'
import type { Endpoint, FormatContext, Webhooks } from '@layermesh/webhooks'
import { EventPattern } from '@layermesh/webhooks/basics'
import type { NodeConfig, WebhookConfig } from '../config/node-config.ts'
import type { Logger } from '../log.ts'
import type { NodeMetrics } from '../metrics.ts'
import { VERSION } from '../version.ts'

export interface OpenWebhooksComponents {
  readonly log: Logger
  readonly metrics: NodeMetrics
  context(): FormatContext
}

/**
 * The webhooks of a node, with their outbox in its data directory; undefined when none are configured, which need not
 * load them.
 * @throws {WebhookError} FILE_UNUSABLE, OUTBOX_IN_USE, OUTBOX_FAILED
 */
export async function openWebhooks(
  { webhooks, dataDir }: Pick<NodeConfig, 'webhooks' | 'dataDir'>,
  { log, metrics, context }: OpenWebhooksComponents
): Promise<Webhooks | undefined> {
  if (webhooks.length === 0) return undefined
  const { Webhooks } = await import('@layermesh/webhooks')
  const observer = {
    delivered: (endpoint: string) => metrics.webhookDelivered(endpoint),
    failed: (endpoint: string) => metrics.webhookFailed(endpoint),
    dead: (endpoint: string) => metrics.webhookDead(endpoint),
    dropped: (endpoint: string, reason: string, count: number) => metrics.webhooksDropped(endpoint, reason, count)
  }
  const options = {
    directory: join(dataDir, 'webhooks'),
    endpoints: webhooks.map(toEndpoint),
    userAgent: `layermesh/${VERSION}`
  }
  return await Webhooks.open({ log, observer, context }, options)
}

function toEndpoint({ repositories, events, ...rest }: WebhookConfig): Endpoint {
  const patterns = repositories?.map((text) => new RepositoryPattern(text))
  return {
    ...rest,
    events: events.map((text) => new EventPattern(text)),
    acceptsRepository: (repository) => patterns?.some((pattern) => pattern.matches(parseRepository(repository))) ?? true
  }
}
