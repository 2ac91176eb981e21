import { join } from 'node:path'
import { CliFailure } from '../failure.ts'
import { type Contribution, takeOut } from './contribution.ts'
import type { HostRoot } from './host-root.ts'
import { type FileRecord, type Journal, sha256Of } from './journal.ts'
import type { Client, HostView } from './wish.ts'

/**
 * A file without anything of layermesh. Unchanged since `setup`, it is what it was before, to the byte; else what was
 * put in is taken out of what it is now.
 * @param current undefined when the file is not there: if its owner removed it, it stays so
 * @throws CliFailure when it can not be told any more what is whose
 */
export async function baseOf(
  journal: Journal,
  record: FileRecord,
  current: Buffer | undefined
): Promise<Buffer | undefined> {
  if (current === undefined) return undefined
  const sha256 = sha256Of(current)
  if (sha256 === record.before) return current
  if (record.versions.some((version) => version.sha256 === sha256)) return originalOf(journal, record)
  const text = decode(current, record.path)
  const { rest, kind } = takeOutAny(text, record)
  if (record.before === null && isNothing(rest, kind)) return undefined
  return rest === text ? current : Buffer.from(rest)
}

/** The file as it was before `setup`. */
export async function originalOf(journal: Journal, { before }: FileRecord): Promise<Buffer | undefined> {
  return before === null ? undefined : journal.backup(before)
}

/** The host as it is without what `setup` has done, be it for this client or for another. */
export function viewFor(host: HostRoot, journal: Journal, client: Client): HostView {
  const base = async (path: string) => {
    const current = (await host.disk.read(host.here(path)))?.bytes
    const record = journal.find(path)
    return record === undefined ? current : baseOf(journal, record, current)
  }
  return {
    async read(path) {
      const found = await base(await host.resolve(path))
      return found === undefined ? undefined : decode(found, path)
    },
    async list(path) {
      const directory = await host.resolve(path)
      const names = await host.disk.list(host.here(directory))
      const there = await Promise.all(
        names.map(async (name) => {
          const record = journal.find(join(directory, name))
          return record === undefined || (await base(record.path)) !== undefined
        })
      )
      return names.filter((_, index) => there[index])
    },
    isOurs: async (path) => journal.recordOf(client, await host.resolve(path)) !== undefined
  }
}

/** @throws CliFailure when it is no text, so that nothing could be put back as it was */
export function decode(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new CliFailure('FAILED', `${path} is no text in UTF-8; mend it first, nothing was changed`, { cause })
  }
}

/** While one version takes the place of another, either may be in the file. */
function takeOutAny(text: string, { versions, path }: FileRecord): { rest: string; kind: Contribution['kind'] } {
  let failure: unknown
  for (const { contribution } of versions.toReversed()) {
    try {
      return { rest: takeOut(text, contribution, path), kind: contribution.kind }
    } catch (error) {
      failure ??= error
    }
  }
  throw failure
}

function isNothing(text: string, kind: Contribution['kind']): boolean {
  const rest = text.trim()
  return rest === '' || (kind === 'item' && /^\{\s*\}$/.test(rest))
}
