import type { NodeConfig } from '../config/node-config.ts'

/** Reads the files that webhooks name. @throws {WebhookError} FILE_UNUSABLE */
export async function checkWebhookFiles({ webhooks }: Pick<NodeConfig, 'webhooks'>): Promise<void> {
  const { checkFiles } = await import('@layermesh/webhooks')
  for (const webhook of webhooks) await checkFiles(webhook)
}
