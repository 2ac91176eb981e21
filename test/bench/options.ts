import { parseArgs } from 'node:util'
import type { Options } from './benchmark.ts'
import { GIB, parseRate, parseSize } from './report/units.ts'

/** What holds where neither the benchmark nor the command line says otherwise. */
export const DEFAULTS: Options = Object.freeze({
  runs: 3,
  sizeBytes: GIB,
  hosts: 8,
  linkBitsPerSecond: 100e6,
  farLinkBitsPerSecond: 50e6,
  nodes: 32,
  seconds: 60,
  registry: true
})

export interface CommandLine {
  readonly name: string
  /** What was given on the command line. */
  readonly chosen: Partial<Options>
  readonly jsonFile: string | undefined
}

/** A command line that makes no sense. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** @throws {UsageError} */
export function readCommandLine(args: readonly string[]): CommandLine {
  const { values, positionals } = parse(args)
  const [name, ...more] = positionals
  if (name === undefined || more.length > 0) throw new UsageError('name one benchmark, or all')
  const number = (text: string) => (/^[1-9]\d{0,5}$/.test(text) ? Number(text) : undefined)
  const read = <T>(flag: keyof typeof values, option: keyof Options, parseText: (text: string) => T | undefined) => {
    const text = values[flag]
    if (typeof text !== 'string') return {}
    const value = parseText(text)
    if (value === undefined) throw new UsageError(`--${flag} ${text} makes no sense`)
    return { [option]: value }
  }
  const chosen: Partial<Options> = {
    ...read('runs', 'runs', number),
    ...read('size', 'sizeBytes', parseSize),
    ...read('hosts', 'hosts', number),
    ...read('link', 'linkBitsPerSecond', parseRate),
    ...read('far-link', 'farLinkBitsPerSecond', parseRate),
    ...read('nodes', 'nodes', number),
    ...read('seconds', 'seconds', number),
    ...(values['no-registry'] === true ? { registry: false } : {})
  }
  return { name, chosen, jsonFile: values.json }
}

function parse(args: readonly string[]) {
  try {
    const string = { type: 'string' } as const
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        runs: string,
        size: string,
        hosts: string,
        link: string,
        'far-link': string,
        nodes: string,
        seconds: string,
        'no-registry': { type: 'boolean' },
        json: string
      }
    })
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error })
  }
}
