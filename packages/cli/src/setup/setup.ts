import { dirname } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { CliFailure } from '../failure.ts'
import { removeFile, removeLeftover, replaceFile } from './atomic-file.ts'
import { baseOf, decode, originalOf, viewFor } from './base.ts'
import type { Access } from './disk.ts'
import type { HostRoot } from './host-root.ts'
import { type FileRecord, type Journal, sha256Of, type Version } from './journal.ts'
import type { Applied, Client, HostView, Plan, Wish } from './wish.ts'

/** A file with what it is and what it is to be. */
export interface FileChange {
  /** Of the host, without symbolic links. */
  readonly path: string
  /** Undefined when there is no such file. */
  readonly before: Buffer | undefined
  /** Undefined when it is to be removed. */
  readonly after: Buffer | undefined
}

interface PreparedFile extends FileChange {
  readonly access: Access | undefined
  /** What it is without anything of layermesh. */
  readonly base: Buffer | undefined
  /** Undefined when nothing of layermesh will be in it. */
  readonly record: FileRecord | undefined
  readonly renewal: string | undefined
}

/** What is to be done, found out but not yet begun. */
export interface Prepared {
  readonly files: readonly PreparedFile[]
  readonly notes: readonly string[]
  /** What is lost when files are brought back by force. */
  readonly lost: readonly Buffer[]
  /** Why some files can not be brought back. */
  readonly refusals: readonly CliFailure[]
  /** The records of all that is not touched. */
  readonly others: readonly FileRecord[]
}

const DIRECTORY_MODE = 0o755

/**
 * Changes files of clients so that a crash at any moment leaves each as it was or as it is to be, and can be taken back:
 *
 * 1. each file that is to be changed is copied into the journal's directory;
 * 2. the journal says what each file was and is about to be;
 * 3. each file is written beside its place and renamed into it;
 * 4. the journal says what is.
 *
 * What was cut off between 2 and 4 needs no special care: a file is either what its record says it was or what it says
 * it became, and both are told by their hashes. Then the same steps are taken from there.
 */
export class Setup {
  readonly #host: HostRoot
  readonly #journal: Journal

  constructor({ host, journal }: { readonly host: HostRoot; readonly journal: Journal }) {
    this.#host = host
    this.#journal = journal
  }

  /** Finds out what has to be changed so that the client is as `plan` wants it; what was set before and is not wanted any more goes. */
  async prepare(client: Client, plan: (host: HostView) => Promise<Plan>): Promise<Prepared> {
    const { wishes, notes } = await plan(viewFor(this.#host, this.#journal, client))
    const files: PreparedFile[] = []
    const elsewhere: string[] = []
    for (const wish of wishes) {
      const path = await this.#host.resolve(wish.path)
      const other = this.#journal.find(path)
      if (other !== undefined && other.client !== client) {
        elsewhere.push(`${path} was set for ${other.client} already, and is left so`)
      } else if (!files.some((file) => file.path === path)) {
        files.push(await this.#prepareWish(client, path, wish))
      }
    }
    const stale = this.#journal.records.filter(
      (record) => record.client === client && !files.some(({ path }) => path === record.path)
    )
    for (const record of stale) files.push(await this.#prepareRemoval(record, await this.#baseOf(record)))
    const others = this.#journal.records.filter((record) => record.client !== client)
    return { files, others, notes: [...notes, ...elsewhere], refusals: [], lost: [] }
  }

  /**
   * Finds out what has to be changed so that nothing of `setup` is left for these clients.
   * @param force brings back files as they were where it can not be told what in them is whose
   */
  async prepareUndo(clients: readonly Client[], force: boolean): Promise<Prepared> {
    const files: PreparedFile[] = []
    const refusals: CliFailure[] = []
    const lost: Buffer[] = []
    for (const record of this.#journal.records.filter(({ client }) => clients.includes(client))) {
      try {
        files.push(await this.#prepareRemoval(record, await this.#baseOf(record)))
      } catch (error) {
        if (!(error instanceof CliFailure)) throw error
        if (!force) {
          refusals.push(error)
          continue
        }
        const file = await this.#prepareRemoval(record, await originalOf(this.#journal, record))
        if (file.before !== undefined) lost.push(file.before)
        files.push(file)
      }
    }
    const touched = new Set(files.map(({ path }) => path))
    const others = this.#journal.records.filter(({ client, path }) => !(clients.includes(client) && touched.has(path)))
    return { files, refusals, others, lost, notes: [] }
  }

  /** Does it. @throws CliFailure when a file can not be written, with what to do */
  async carryOut({ files, others }: Prepared): Promise<void> {
    const records = files.flatMap(({ record }) => record ?? [])
    const final = [...others, ...records]
    const changed = files.filter(isChange)
    if (changed.length > 0 || !isDeepStrictEqual(final, this.#journal.records)) {
      for (const { base, record } of files) {
        if (base !== undefined && record !== undefined) await this.#journal.keep(base)
      }
      await this.#journal.save([...others, ...files.flatMap((file) => this.#transitionOf(file) ?? [])])
      for (const file of files) await this.#write(file)
    }
    await this.#journal.save(final)
  }

  async #prepareWish(client: Client, path: string, wish: Wish): Promise<PreparedFile> {
    const old = this.#journal.recordOf(client, path)
    const found = await this.#host.disk.read(this.#host.here(path))
    const base = old === undefined ? found?.bytes : await baseOf(this.#journal, old, found?.bytes)
    const applied = wish.apply(base === undefined ? undefined : decode(base, path))
    const { renewal } = wish
    const file = { path, before: found?.bytes, access: found?.access, base, renewal }
    if (applied === undefined) return { ...file, after: base, record: undefined }
    const after = Buffer.from(applied.text)
    const record = {
      client,
      path,
      before: base === undefined ? null : sha256Of(base),
      ...undoRenewalOf(wish, applied),
      madeDirectories: [...new Set([...(old?.madeDirectories ?? []), ...(await this.#missingAbove(path))])],
      versions: [{ sha256: sha256Of(after), contribution: applied.contribution }]
    }
    return { ...file, after, record }
  }

  async #prepareRemoval({ path, renewal }: FileRecord, base: Buffer | undefined): Promise<PreparedFile> {
    const found = await this.#host.disk.read(this.#host.here(path))
    return { path, before: found?.bytes, access: found?.access, base, after: base, record: undefined, renewal }
  }

  async #baseOf(record: FileRecord): Promise<Buffer | undefined> {
    return baseOf(this.#journal, record, (await this.#host.disk.read(this.#host.here(record.path)))?.bytes)
  }

  /** The record while a file is changed: what is there now and what will be are both told from what others wrote. */
  #transitionOf({ path, before, base, record }: PreparedFile): FileRecord | undefined {
    const old = this.#journal.find(path)
    if (record === undefined) return old
    if (old === undefined || before === undefined || isSame(before, base)) return record
    const sha256 = sha256Of(before)
    const version = old.versions.find((one) => one.sha256 === sha256) ?? old.versions.at(-1)
    const present: Version[] = version === undefined ? [] : [{ sha256, contribution: version.contribution }]
    return { ...record, versions: [...present, ...record.versions] }
  }

  async #write(file: PreparedFile): Promise<void> {
    const { disk } = this.#host
    const { path, after, access = {} } = file
    const here = this.#host.here(path)
    const made = (file.record ?? this.#journal.find(path))?.madeDirectories ?? []
    try {
      if (!isChange(file)) {
        if (await disk.isDirectory(dirname(here))) await removeLeftover(disk, here)
      } else if (after === undefined) await removeFile(disk, here)
      else {
        for (const directory of await this.#missingAbove(path)) await this.#makeDirectory(directory)
        await replaceFile(disk, here, after, access)
      }
      if (after === undefined) {
        for (const directory of made.toReversed()) {
          if (!(await disk.removeDirectory(this.#host.here(directory)))) break
        }
      }
    } catch (error) {
      throw explainWrite(error, here)
    }
  }

  async #makeDirectory(directory: string): Promise<void> {
    const here = this.#host.here(directory)
    await this.#host.disk.makeDirectory(here, DIRECTORY_MODE)
    await this.#host.disk.sync(dirname(here))
  }

  /** Directories that a file needs and that are not there, outermost first. */
  async #missingAbove(path: string): Promise<readonly string[]> {
    const missing: string[] = []
    for (let at = dirname(path); at !== '/'; at = dirname(at)) {
      if (await this.#host.disk.isDirectory(this.#host.here(at))) break
      missing.unshift(at)
    }
    return missing
  }
}

function undoRenewalOf({ renewal }: Wish, { undoRenewal = renewal }: Applied): Pick<FileRecord, 'renewal'> {
  return undoRenewal === undefined ? {} : { renewal: undoRenewal }
}

/** Whether a file will be another one. */
export function isChange({ before, after }: FileChange): boolean {
  return !isSame(before, after)
}

function isSame(one: Buffer | undefined, other: Buffer | undefined): boolean {
  return one === undefined || other === undefined ? one === other : one.equals(other)
}

function explainWrite(error: unknown, path: string): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (code === undefined || error instanceof CliFailure) return error
  const advice: Readonly<Record<string, string>> = {
    EACCES: 'run this as root',
    EPERM: 'run this as root',
    EROFS: 'it can only be read; where a system keeps its settings elsewhere, say so with --config',
    EBUSY: 'it is mounted by itself; mount its directory instead',
    ENOSPC: 'the disk is full; make room and do it again'
  }
  return new CliFailure('FAILED', `${path} can not be changed (${code}): ${advice[code] ?? 'do it again'}`, {
    cause: error
  })
}
