import { readFile, rename, writeFile } from 'node:fs/promises'
import type { PublishedSeedSet, SeedSet, TagRecovery } from '@layermesh/node'
import { type Command, Option } from 'commander'
import { type AdminFlags, addAdminFlags, connectForActions } from '../admin-place.ts'
import type { CommandContext } from '../context.ts'
import { CliFailure } from '../failure.ts'
import { formatPairs, formatTable } from '../format.ts'
import { nextSeedSet, readDate, readTime } from '../seed-set-changes.ts'

interface SignFlags {
  readonly rootKey: string
  readonly out: string
  readonly previous?: string
  readonly seed: readonly string[]
  readonly retire: readonly string[]
  readonly revoke: readonly string[]
  readonly drop: readonly string[]
  readonly valid: string
}

/** `seeds sign`, `seeds show`, `seeds publish`, `seeds recover`: who may sign what tags mean, by the word of an offline key. */
export function addSeedsCommands(program: Command, context: CommandContext): void {
  const seeds = program.command('seeds').description('the seeds that nodes trust, by the word of an offline key')
  addSign(seeds, context)
  addRecover(seeds, context)
  const show = seeds
    .command('show')
    .description('show the set of a file, or the one that counts at a running node')
    .argument('[FILE]')
    .option('--out <FILE>', 'write it to this file')
  addAdminFlags(show).action(async (file: string | undefined, flags: AdminFlags & { out?: string }) => {
    const { trusted = true, text } =
      file === undefined ? await fetchSet(flags, context) : { text: await readText(file) }
    const { set, root } = await open(text, file ?? 'the answer')
    if (flags.out !== undefined) await writeText(flags.out, text)
    context.out.write(flags.json ? json(set, root) : formatSet(set, root, trusted, Date.now()))
  })
  const publish = seeds
    .command('publish')
    .description('have a running node go by it, and tell all others')
    .argument('<FILE>')
  addAdminFlags(publish).action(async (file: string, flags: AdminFlags) => {
    const text = await readText(file)
    await open(text, file)
    const client = await connectForActions(flags, context)
    const result = await client.act<{ sequence: number; outcome: string }>('POST', 'seeds', { envelope: text })
    const said = result.outcome === 'new' ? 'the node goes by it and tells the others' : 'the node went by it already'
    context.out.write(flags.json ? `${JSON.stringify(result)}\n` : `${said}\n`)
  })
}

function addRecover(seeds: Command, context: CommandContext): void {
  const recover = seeds
    .command('recover')
    .description('have all tags that a revoked seed signed last mean again what they meant before')
    .argument('<PEER_ID>', 'the revoked seed')
    .requiredOption(
      '--before <TIME>',
      'when its key was still safe: a date, or a date and time such as 2027-01-31T12:00Z'
    )
  addAdminFlags(recover).action(async (signer: string, flags: AdminFlags & { before: string }) => {
    const before = new Date(readDate(flags.before, '--before')).toISOString()
    const client = await connectForActions(flags, context)
    let restored = 0
    for (;;) {
      const result = await client.act<TagRecovery>('POST', 'tags/recover', { signer, before })
      restored += result.restored
      // Without progress the rest would not come by going on either.
      if (!result.complete && result.restored > 0) continue
      const sum = { ...result, restored }
      context.out.write(flags.json ? `${JSON.stringify(sum, null, 2)}\n` : formatRecovery(sum))
      return
    }
  })
}

function formatRecovery({ restored, failed, failures, complete }: TagRecovery): string {
  const rest = complete ? '' : 'not all tags were looked at; do it again\n'
  const table =
    failures === 0
      ? ''
      : `${failures} were not:\n${formatTable(
          ['tag', 'why'],
          failed.map(({ reference, reason }) => [reference, reason])
        )}`
  return `${restored} tags mean again what they meant\n${table}${rest}`
}

function addSign(seeds: Command, context: CommandContext): void {
  const list = (value: string, before: readonly string[]) => [...before, value]
  const repeatable = (flags: string, help: string) =>
    new Option(flags, `${help}; repeatable`).argParser(list).default([], '')
  seeds
    .command('sign')
    .description('sign a set with the root key; needs no network')
    .requiredOption('--root-key <FILE>', 'the root key, as `layermesh keys root new` made it')
    .requiredOption('--out <FILE>', 'where the set goes')
    .option('--previous <FILE>', 'the set before it, which it changes (default: what --out holds)')
    .addOption(repeatable('--seed <PEER_ID[=PATTERNS]>', 'may sign for repositories of these patterns (default **)'))
    .addOption(repeatable('--retire <PEER_ID=WHEN>', 'its word ends then: a date, or a time from now such as 30d'))
    .addOption(repeatable('--revoke <PEER_ID>', 'its key was stolen: nothing that it ever signed counts'))
    .addOption(repeatable('--drop <PEER_ID>', 'no seed any more; retire it first, so that others sign its tags anew'))
    .option('--valid <TIME>', 'until a date, or for so long', '1y')
    .action(async (flags: SignFlags) => {
      const { formatSeedSet, loadKeyFile, peerIdOf, sealSeedSet } = await import('@layermesh/node')
      const key = await loadKeyFile(flags.rootKey)
      const previous = await readPrevious(flags, peerIdOf(key))
      const issuedAt = Date.now()
      const { seed, retire: retired, revoke: revoked, drop: dropped } = flags
      const times = { issuedAt, expiresAt: readTime(flags.valid, issuedAt, '--valid') }
      const set = nextSeedSet(previous, { seeds: seed, retired, revoked, dropped }, times)
      await writeText(flags.out, formatSeedSet(await sealSeedSet(set, key)))
      context.out.write(formatSet(set, peerIdOf(key), true, issuedAt))
    })
}

async function readPrevious({ previous, out }: SignFlags, root: string): Promise<SeedSet | undefined> {
  const text = previous === undefined ? await readText(out).catch(ifMissing) : await readText(previous)
  if (text === undefined) return undefined
  const opened = await open(text, previous ?? out)
  if (opened.root === root) return opened.set
  throw new CliFailure('FAILED', `${previous ?? out} was signed by another root, ${opened.root}`)
}

async function fetchSet(flags: AdminFlags, context: CommandContext): Promise<{ text: string; trusted: boolean }> {
  const client = await connectForActions(flags, context)
  const { envelope, trusted } = await client.act<PublishedSeedSet>('GET', 'seeds', {})
  return { text: envelope, trusted }
}

async function open(text: string, from: string): Promise<{ set: SeedSet; root: string }> {
  const { openSeedSet, parseSeedSet } = await import('@layermesh/node')
  try {
    return await openSeedSet(parseSeedSet(text))
  } catch (cause) {
    throw new CliFailure('FAILED', `${from}: ${cause instanceof Error ? cause.message : cause}`, { cause })
  }
}

async function readText(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (cause) {
    throw new CliFailure('FAILED', `${file} can not be read (${(cause as NodeJS.ErrnoException).code})`, { cause })
  }
}

function ifMissing(error: CliFailure): undefined {
  if ((error.cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
  throw error
}

/** Beside its place first: what is there may be the only copy of the set before. */
async function writeText(file: string, text: string): Promise<void> {
  try {
    await writeFile(`${file}.tmp`, `${text}\n`)
    await rename(`${file}.tmp`, file)
  } catch (cause) {
    throw new CliFailure('FAILED', `${file} can not be written (${(cause as NodeJS.ErrnoException).code})`, { cause })
  }
}

function json(set: SeedSet, root: string): string {
  const { issuedAt, expiresAt, seeds, ...rest } = set
  const grants = seeds.map(({ notAfter, ...seed }) => ({
    ...seed,
    ...(notAfter !== undefined && { notAfter: timeOf(notAfter) })
  }))
  return `${JSON.stringify({ root, ...rest, issuedAt: timeOf(issuedAt), expiresAt: timeOf(expiresAt), seeds: grants }, null, 2)}\n`
}

/** @param now in ms since 1970 */
function formatSet(set: SeedSet, root: string, trusted: boolean, now: number): string {
  const { sequence, issuedAt, expiresAt, seeds, revoked } = set
  const expired =
    now < expiresAt ? '' : trusted ? ' (expired)' : ' (expired before it came here: nobody is trusted by it)'
  const about = formatPairs([
    ['root', root],
    ['sequence', String(sequence)],
    ['signed', timeOf(issuedAt)],
    ['expires', `${timeOf(expiresAt)}${expired}`],
    ...revoked.map((peerId) => ['revoked', peerId] as const)
  ])
  const table = formatTable(
    ['seed', 'may sign for', 'until'],
    seeds.map(({ peerId, repositories, notAfter }) => [
      peerId,
      repositories.join(', '),
      notAfter === undefined ? '-' : `${timeOf(notAfter)}${now < notAfter ? '' : ' (over)'}`
    ])
  )
  return `${about}\n${table}`
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString()
}
