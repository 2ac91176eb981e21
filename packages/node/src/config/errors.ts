export type ConfigErrorCode =
  /** The file is not there, can't be read or is too long. */
  | 'FILE_UNREADABLE'
  /** The file is no YAML mapping. */
  | 'SYNTAX'
  | 'UNKNOWN_KEY'
  | 'INVALID_VALUE'
  /** Other hosts could join the mesh, and nothing says that they may. */
  | 'OPEN_MESH'
  /** Passwords would cross the network for everybody to read, and nothing says that they do not. */
  | 'OPEN_PASSWORDS'
  /** The cluster secret is not there, too weak, or readable by everybody. */
  | 'SECRET_UNUSABLE'
  /** The admission ticket is not there, or is none. */
  | 'TICKET_UNUSABLE'
  /** The TLS certificate, its key or the authorities of clients are not there, or do not fit. */
  | 'TLS_UNUSABLE'

/** Where a setting came from. */
export type Origin =
  | { readonly kind: 'file'; readonly file: string; readonly line?: number }
  | { readonly kind: 'environment'; readonly variable: string }
  | { readonly kind: 'flag'; readonly flag: string }

export interface ConfigErrorDetails {
  /** The key's path, such as `mesh.join[0]`. */
  readonly key?: string
  readonly origin?: Origin
  readonly cause?: unknown
}

/** A configuration that can't be used. The message is one line that says where, what and, if there is something, what to do. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly code: ConfigErrorCode
  readonly key: string | undefined
  readonly origin: Origin | undefined

  constructor(code: ConfigErrorCode, message: string, { key, origin, cause }: ConfigErrorDetails = {}) {
    super(`${formatPlace(origin)}${message}`, cause === undefined ? undefined : { cause })
    this.code = code
    this.key = key
    this.origin = origin
  }

  /** The line of the file, from 1, when it came from one. */
  get line(): number | undefined {
    return this.origin?.kind === 'file' ? this.origin.line : undefined
  }
}

/** Names a source as users know it: `layermesh.yaml:12`, `LAYERMESH_ZONE`, `--zone`. */
export function formatOrigin(origin: Origin): string {
  if (origin.kind === 'environment') return origin.variable
  if (origin.kind === 'flag') return origin.flag
  return origin.line === undefined ? origin.file : `${origin.file}:${origin.line}`
}

function formatPlace(origin: Origin | undefined): string {
  return origin === undefined ? '' : `${formatOrigin(origin)}: `
}
