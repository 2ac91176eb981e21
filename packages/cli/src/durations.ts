import { CliFailure } from './failure.ts'

/** Reads the value of a flag such as `--deadline 10m`. @returns ms @throws {CliFailure} USAGE */
export async function readDuration(flag: string, text: string): Promise<number> {
  const { parseDuration } = await import('@layermesh/node')
  const durationMs = parseDuration(text)
  if (durationMs) return durationMs
  throw new CliFailure('USAGE', `${flag}: expected a duration such as 30s or 10m, not ${text}`)
}
