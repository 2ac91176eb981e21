import { join } from 'node:path'
import { parseRepository } from '@layermesh/oci'
import { RepositoryPattern } from '@layermesh/trust'
import { checkFiles, type Endpoint, EventPattern, type FormatContext, Webhooks } from '@layermesh/webhooks'
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
 * The webhooks of a node, with their outbox in its data directory; undefined when none are configured.
 * @throws {WebhookError} FILE_UNUSABLE, OUTBOX_IN_USE, OUTBOX_FAILED
 */
export async function openWebhooks(
  { webhooks, dataDir }: Pick<NodeConfig, 'webhooks' | 'dataDir'>,
  { log, metrics, context }: OpenWebhooksComponents
): Promise<Webhooks | undefined> {
  if (webhooks.length === 0) return undefined
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

/** Reads the files that webhooks name. @throws {WebhookError} FILE_UNUSABLE */
export async function checkWebhookFiles({ webhooks }: Pick<NodeConfig, 'webhooks'>): Promise<void> {
  for (const webhook of webhooks) await checkFiles(webhook)
}

function toEndpoint({ repositories, events, ...rest }: WebhookConfig): Endpoint {
  const patterns = repositories?.map((text) => new RepositoryPattern(text))
  return {
    ...rest,
    events: events.map((text) => new EventPattern(text)),
    acceptsRepository: (repository) => patterns?.some((pattern) => pattern.matches(parseRepository(repository))) ?? true
  }
}
