import type { NodeConfig } from '../config/node-config.ts'
import type { Logger } from '../log.ts'
import { formatAuditLine } from './audit-line.ts'
import type { AuditRecord } from './entry.ts'
import { RotatingFile } from './rotating-file.ts'

export interface AuditLogComponents {
  readonly log: Logger
  /** Peer id of this node. */
  readonly peerId: string
  onDropped(count: number): void
  /** Milliseconds since 1970. */
  now(): number
  /** Standard output. */
  readonly stdout: { write(text: string): unknown }
}

/** Who did what, a line each (AUDIT.md). Nobody waits for it. */
export interface AuditLog {
  /** Whether pulls that were allowed are told of. */
  readonly pulls: boolean
  write(record: AuditRecord): void
  /** The file was moved away: goes on with a new one. */
  reopen(): Promise<void>
  close(): Promise<void>
}

/** The audit log as it is configured; undefined when it is off. @throws system errors when the file can't be opened */
export async function openAuditLog(
  { to, pulls, maxBytes, keep }: NodeConfig['audit'],
  { log, peerId, onDropped, now, stdout }: AuditLogComponents
): Promise<AuditLog | undefined> {
  if (to === 'off') return undefined
  const line = (record: AuditRecord) =>
    formatAuditLine({ time: new Date(now()).toISOString(), node: peerId, ...record })
  if (to === 'stdout') {
    const write = (record: AuditRecord) => void stdout.write(line(record))
    return { pulls, write, reopen: async () => {}, close: async () => {} }
  }
  let dropped = 0
  const file = new RotatingFile(
    {
      onDropped: (count) => {
        dropped += count
        onDropped(count)
      },
      onTrouble: (error) => log.error({ path: to.file, dropped, err: error }, 'the audit log could not be written')
    },
    { path: to.file, maxBytes, keep }
  )
  await file.open()
  return {
    pulls,
    write: (record) => file.write(line(record)),
    reopen: () => file.reopen(),
    close: () => file.close()
  }
}
