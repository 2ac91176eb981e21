import type { TagChange } from '@layermesh/node'
import type { Command } from 'commander'
import type { AdminClient } from '../admin-client.ts'
import { type AdminFlags, addAdminFlags, connectForActions } from '../admin-place.ts'
import type { CommandContext } from '../context.ts'
import { CliFailure } from '../failure.ts'
import { formatAge, formatTable, shortDigest, shortPeer } from '../format.ts'
import { withoutRegistry } from '../registry-name.ts'

const ENTRIES = 1_000
const DIGEST = /^sha(256|512):[0-9a-f]{12,128}$/

/** `history` and `restore`: what a tag meant before, and the way back. */
export function addHistoryCommands(program: Command, context: CommandContext): void {
  const history = program
    .command('history')
    .description('what a tag meant before: who changed it, when and from what')
    .argument('<REF>', 'NAME:TAG')
    .option('--limit <COUNT>', 'show so many changes, newest first', '100')
  addAdminFlags(history).action(async (reference: string, flags: AdminFlags & { limit: string }) => {
    const client = await connectForActions(flags, context)
    const changes = await listChanges(client, await nameOf(client, reference), flags.limit)
    context.out.write(flags.json ? `${JSON.stringify(changes, null, 2)}\n` : formatChanges(changes, Date.now()))
  })
  const restore = program
    .command('restore')
    .description('have a tag mean again what it meant before')
    .argument('<REF>', 'NAME:TAG')
    .argument('<CHANGE>', 'the sequence of a change, or a digest, as `layermesh history` shows them')
  addAdminFlags(restore).action(async (reference: string, change: string, flags: AdminFlags) => {
    const client = await connectForActions(flags, context)
    const name = await nameOf(client, reference)
    const to = /^[1-9][0-9]{0,15}$/.test(change)
      ? { sequence: Number(change) }
      : { digest: await wholeDigest(client, name, change) }
    const result = await client.act<{ digest: string }>('POST', 'tags/restore', { reference: name, ...to })
    context.out.write(flags.json ? `${JSON.stringify(result)}\n` : `${name} means ${result.digest} again\n`)
  })
}

async function nameOf(client: AdminClient, reference: string): Promise<string> {
  return withoutRegistry(reference, (await client.status()).registry)
}

function listChanges(client: AdminClient, reference: string, limit: string | number): Promise<TagChange[]> {
  return client.act<TagChange[]>('GET', 'tags/history', { reference, limit })
}

/** The digest of the history that begins as the given one does. */
async function wholeDigest(client: AdminClient, name: string, given: string): Promise<string> {
  if (!DIGEST.test(given)) {
    throw new CliFailure('USAGE', `expected the sequence of a change or a digest, not ${given}`)
  }
  const changes = await listChanges(client, name, ENTRIES)
  const digests = new Set(
    changes.flatMap(({ digest, previous }) => [digest, previous].filter((one) => one?.startsWith(given)))
  )
  const [digest, another] = digests
  if (digest !== undefined && another === undefined) return digest
  const why = digest === undefined ? 'has not meant' : 'has meant more than one digest that begins with'
  throw new CliFailure('FAILED', `${name} ${why} ${given}; see: layermesh history ${name} --json`)
}

/** @param now in ms since 1970 */
function formatChanges(changes: readonly TagChange[], now: number): string {
  if (changes.length === 0) return 'no change of this tag is remembered here\n'
  return formatTable(
    ['sequence', 'when', 'who', 'meant', 'before', 'by node', 'signed by'],
    changes.map(({ sequence, at, actor, digest, previous, node, signer }) => [
      String(sequence),
      `${formatAge(now - Date.parse(at))} ago`,
      actor ?? '-',
      digest === undefined ? 'deleted' : shortDigest(digest),
      previous === undefined ? '-' : shortDigest(previous),
      node === undefined ? '-' : shortPeer(node),
      shortPeer(signer)
    ])
  )
}
