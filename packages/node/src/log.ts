import pino, { type DestinationStream, type Logger } from 'pino'
import type { NodeConfig } from './config/node-config.ts'
import { prettyLines } from './log-lines.ts'

export type { Logger } from 'pino'

const STDERR = 2
const HIDDEN = '[hidden]'
/** Names of fields that may hold what must not be in a log, at the top or one level below. */
const SECRET_FIELDS = ['authorization', 'cookie', 'password', 'secret', 'token', 'privateKey']

export interface LogComponents {
  /** Where the lines go. @default standard error, written at once, so that the last line before a crash is there */
  readonly destination?: DestinationStream
  /** Whether people read the lines as they come; decides what the format `auto` means. @default whether stderr is a terminal */
  readonly isTerminal?: boolean
}

/** The log of a node: JSON lines, or lines for people; secrets are hidden. */
export function createLog(options: NodeConfig['log'], components: LogComponents = {}): Logger {
  const { destination = pino.destination({ fd: STDERR, sync: true }), isTerminal = process.stderr.isTTY } = components
  const pretty = options.format === 'pretty' || (options.format === 'auto' && isTerminal)
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: [...SECRET_FIELDS, ...SECRET_FIELDS.map((field) => `*.${field}`)], censor: HIDDEN }
    },
    pretty ? prettyLines(destination) : destination
  )
}
