import { type Platform, parsePlatform } from '@layermesh/oci'
import { CliFailure } from './failure.ts'

/** Reads the value of `--platform`. @throws {CliFailure} USAGE */
export function readPlatform(text: string | undefined): Platform | undefined {
  if (text === undefined) return undefined
  const platform = parsePlatform(text)
  if (platform !== undefined) return platform
  throw new CliFailure('USAGE', `--platform: expected OS/ARCHITECTURE[/VARIANT], such as linux/arm64, not ${text}`)
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' }

/** The platform of containers on this host: Docker runs those of Linux everywhere but on Windows. */
export function hostPlatform(): Platform {
  const os = process.platform === 'win32' ? 'windows' : 'linux'
  return { os, architecture: ARCHITECTURES[process.arch] ?? process.arch }
}
