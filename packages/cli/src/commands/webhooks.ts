import type { WebhookState, WebhookTestResult } from '@layermesh/node'
import type { Command } from 'commander'
import { type AdminFlags, addAdminFlags, connectForActions } from '../admin-place.ts'
import type { CommandContext } from '../context.ts'
import { CliFailure } from '../failure.ts'
import { formatAge, formatTable } from '../format.ts'

/** `webhook list`, `webhook redeliver`, `webhook test`: how receivers of events are doing. */
export function addWebhookCommands(program: Command, context: CommandContext): void {
  const webhook = program.command('webhook').description('the receivers that a running node tells of events')
  addAdminFlags(webhook.command('list').description('how they are doing')).action(async (flags: AdminFlags) => {
    const client = await connectForActions(flags, context)
    const { webhooks } = await client.act<{ webhooks: WebhookState[] }>('GET', 'webhooks', {})
    context.out.write(flags.json ? `${JSON.stringify(webhooks, null, 2)}\n` : formatWebhooks(webhooks, Date.now()))
  })
  const redeliver = webhook
    .command('redeliver')
    .description('deliver events again that were given up, and try at once what waits')
    .argument('<NAME>')
    .argument('[ID]', 'one event, as `webhook list` shows it')
    .option('--dead', 'all events that were given up')
  addAdminFlags(redeliver).action(async (name: string, id: string | undefined, flags: AdminFlags & { dead?: true }) => {
    if ((id === undefined) !== (flags.dead === true)) {
      throw new CliFailure('USAGE', 'say which events: the id of one, or --dead for all that were given up')
    }
    const client = await connectForActions(flags, context)
    const input = id === undefined ? { name } : { name, id }
    const result = await client.act<{ events: number }>('POST', 'webhooks/redeliver', input)
    context.out.write(flags.json ? `${JSON.stringify(result)}\n` : `${result.events} to be delivered again\n`)
  })
  const test = webhook.command('test').description('send a ping, and tell how it went').argument('<NAME>')
  addAdminFlags(test).action(async (name: string, flags: AdminFlags) => {
    const client = await connectForActions(flags, context)
    const result = await client.act<WebhookTestResult>('POST', 'webhooks/test', { name })
    if (flags.json) context.out.write(`${JSON.stringify(result)}\n`)
    if (!result.delivered) throw new CliFailure('FAILED', `the ping was not delivered: ${result.error}`)
    if (!flags.json) context.out.write(`delivered in ${result.durationMs} ms: HTTP status ${result.status}\n`)
  })
}

/** @param now in ms since 1970 */
function formatWebhooks(webhooks: readonly WebhookState[], now: number): string {
  if (webhooks.length === 0) return 'no webhooks are configured; see the setting webhooks\n'
  const table = formatTable(
    ['name', 'receiver', 'format', 'state', 'pending', 'dead', 'last error'],
    webhooks.map(({ name, origin, format, state, pending, dead, lastError, nextAttemptAt }) => [
      name,
      origin,
      format,
      nextAttemptAt === undefined ? state : `${state}, next in ${formatAge(Date.parse(nextAttemptAt) - now)}`,
      String(pending),
      String(dead),
      lastError ?? '-'
    ])
  )
  const letters = webhooks.flatMap(({ name, deadLetters }) =>
    deadLetters.map(({ id, type, subject, diedAt, lastError }) => [
      name,
      id,
      type,
      subject ?? '-',
      diedAt === undefined ? '-' : `${formatAge(now - Date.parse(diedAt))} ago`,
      lastError ?? '-'
    ])
  )
  if (letters.length === 0) return table
  return `${table}\n${formatTable(['webhook', 'id', 'given up', 'subject', 'when', 'last error'], letters)}`
}
