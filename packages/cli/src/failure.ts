/** Why a command failed, in one plain line that says what to do. */
export class CliFailure extends Error {
  override readonly name = 'CliFailure'
  readonly code: 'USAGE' | 'FAILED'

  constructor(code: CliFailure['code'], message: string, options: { cause?: unknown } = {}) {
    super(message, options)
    this.code = code
  }
}

export const EXIT = Object.freeze({ done: 0, failed: 1, usage: 2 })

export interface Explanation {
  /** One line. */
  readonly line: string
  readonly exitCode: number
}

/** What a user is told of any error. */
export function explain(error: unknown): Explanation {
  if (error instanceof CliFailure) {
    return { line: oneLine(error.message), exitCode: error.code === 'USAGE' ? EXIT.usage : EXIT.failed }
  }
  if (isFlagError(error)) return { line: oneLine(error.message), exitCode: EXIT.usage }
  for (let at = error; at instanceof Error; at = at.cause) {
    const line = explainSystemError(at) ?? explainMeshListen(at)
    if (line !== undefined) return { line, exitCode: EXIT.failed }
  }
  const message = error instanceof Error ? error.message || error.name : String(error)
  return { line: oneLine(message), exitCode: EXIT.failed }
}

/** A wrong setting of the command line is wrong usage; one that is right and refused for what it would do is not. */
function isFlagError(error: unknown): error is Error {
  if (!(error instanceof Error) || error.name !== 'ConfigError' || !('origin' in error)) return false
  if ('code' in error && (error.code === 'OPEN_MESH' || error.code === 'OPEN_PASSWORDS')) return false
  const { origin } = error
  return typeof origin === 'object' && origin !== null && 'kind' in origin && origin.kind === 'flag'
}

/** libp2p tells of addresses that can't be listened on in lines `ADDRESS: REASON` of its message. */
function explainMeshListen({ name, message }: Error): string | undefined {
  if (name !== 'UnsupportedListenAddressesError') return undefined
  const reason = message.split('\n').find((line) => line.trimStart().startsWith('/'))
  return `can not listen for other nodes${reason === undefined ? '' : ` on ${reason.trim()}`}; choose another address with --mesh`
}

function explainSystemError(error: NodeJS.ErrnoException & { address?: string; port?: number }): string | undefined {
  const place = error.port === undefined ? error.path : `${error.address}:${error.port}`
  switch (error.code) {
    case 'EADDRINUSE':
      return `another program listens on ${place} already; stop it, or choose another address with --listen, --admin or --mesh`
    case 'EADDRNOTAVAIL':
      return `this host has no address ${place}; choose another one with --listen, --admin or --mesh`
    case 'EACCES':
    case 'EPERM':
      return `this user may not use ${place}; choose another one, or run as a user who may`
    case 'EEXIST':
    case 'ENOTDIR':
      return `${place} is no directory; choose another one with --data`
    case 'EROFS':
      return `${place} can only be read; choose another directory with --data`
    case 'ENOSPC':
      return `the disk of ${place ?? 'the data directory'} is full; make room, or choose another directory with --data`
    case 'LEVEL_LOCKED':
      return 'another node runs on this data directory; stop it, or choose another one with --data'
    default:
      return undefined
  }
}

function oneLine(text: string): string {
  return text.split('\n')[0] ?? ''
}
