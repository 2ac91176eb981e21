import type { Override } from '@layermesh/node'
import { isOciError, normalizeRegistryHost } from '@layermesh/oci'
import { type Command, InvalidArgumentError, Option } from 'commander'

/** A setting that has a flag. */
interface SettingFlag {
  readonly flag: string
  readonly argument: string
  readonly path: readonly string[]
  readonly help: string
  readonly choices?: readonly string[]
  /** Given more than once it makes a list. */
  readonly repeatable?: boolean
  /** Each value is added to the list of the file, as this. */
  readonly append?: (value: string) => unknown
  /** Each value is `HOST=VALUE`, and sets this in the entry of the host. */
  readonly entry?: string
}

const ROLES = ['seed', 'node']
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

export const CONFIG_FLAG = new Option('--config <FILE>', 'read settings from this YAML file (or LAYERMESH_CONFIG)')

export const DATA_FLAG: SettingFlag = {
  flag: '--data',
  argument: 'DIR',
  path: ['dataDir'],
  help: 'where the key and all content are kept (default ./data)'
}

/** The flags of `layermesh node`; every other setting is in the file and in the environment. */
export const NODE_FLAGS: readonly SettingFlag[] = [
  {
    flag: '--role',
    argument: 'ROLE',
    path: ['role'],
    choices: ROLES,
    help: 'seed: signs what tags mean; node: follows the seeds it trusts'
  },
  DATA_FLAG,
  {
    flag: '--listen',
    argument: 'HOST:PORT',
    path: ['registry', 'listen'],
    help: 'where container clients find the registry (default 127.0.0.1:5000)'
  },
  {
    flag: '--admin',
    argument: 'HOST:PORT',
    path: ['admin', 'listen'],
    help: 'where health, metrics and the admin API are (default 127.0.0.1:5001)'
  },
  {
    flag: '--mesh',
    argument: 'MULTIADDR',
    path: ['mesh', 'listen'],
    repeatable: true,
    help: 'where other nodes reach this one (default /ip4/127.0.0.1/tcp/5002)'
  },
  {
    flag: '--join',
    argument: 'ADDR',
    path: ['mesh', 'join'],
    repeatable: true,
    help: 'a node to join through: a multiaddr, or NAME:PORT of a headless service'
  },
  { flag: '--zone', argument: 'ZONE', path: ['zone'], help: 'hosts with quick links between them (default default)' },
  {
    flag: '--trust',
    argument: 'PEER_ID',
    path: ['trust'],
    append: (peerId) => ({ peerId }),
    help: 'a seed that may sign what tags mean'
  },
  {
    flag: '--secret-file',
    argument: 'FILE',
    path: ['mesh', 'secretFile'],
    help: 'the cluster secret; nodes with another one are kept out'
  },
  {
    flag: '--upstream',
    argument: 'HOST=URL',
    path: ['upstreams', 'registries'],
    entry: 'url',
    help: 'where another registry is, such as docker.io=http://localhost:5005'
  },
  {
    flag: '--log-level',
    argument: 'LEVEL',
    path: ['log', 'level'],
    choices: LOG_LEVELS,
    help: 'the least that is logged'
  }
]

/** Adds flags to a command. */
export function addSettingFlags(command: Command, flags: readonly SettingFlag[]): Command {
  for (const { flag, argument, help, choices, repeatable, append, entry } of flags) {
    const many = repeatable === true || append !== undefined || entry !== undefined
    const option = new Option(`${flag} <${argument}>`, many ? `${help}; repeatable` : help)
    if (choices) option.choices(choices)
    const read = entry === undefined ? (value: string) => value : parseEntry
    if (many) option.argParser((value: string, previous: unknown[] | undefined) => [...(previous ?? []), read(value)])
    command.addOption(option)
  }
  return command
}

/** The settings that a command was given by flags. */
export function readSettingFlags(command: Command, flags: readonly SettingFlag[]): Override[] {
  return flags.flatMap(({ flag, path, append, entry }): Override[] => {
    const value: unknown = command.getOptionValue(optionName(flag))
    const origin = { kind: 'flag', flag } as const
    if (value === undefined) return []
    if (entry !== undefined) {
      return (value as HostEntry[]).map(([host, text]) => ({ path: [...path, host, entry], value: text, origin }))
    }
    if (append === undefined) return [{ path, value, origin }]
    return (value as string[]).map((one) => ({ path, value: append(one), origin, append: true }))
  })
}

type HostEntry = readonly [host: string, value: string]

/** Reads `HOST=VALUE`. @throws {InvalidArgumentError} */
function parseEntry(text: string): HostEntry {
  const equals = text.indexOf('=')
  try {
    if (equals > 0) return [normalizeRegistryHost(text.slice(0, equals)), text.slice(equals + 1)]
  } catch (error) {
    if (!isOciError(error)) throw error
  }
  throw new InvalidArgumentError('expected HOST=URL, such as docker.io=http://localhost:5005.')
}

/** The name under which commander keeps the value of `--secret-file`: `secretFile`. */
function optionName(flag: string): string {
  return new Option(flag).attributeName()
}
