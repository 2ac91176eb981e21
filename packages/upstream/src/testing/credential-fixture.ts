import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { onTestFinished } from 'vitest'
import type { CredentialComponents } from '../credentials/components.ts'

/** What no error and no log line of a test may hold. */
export const SECRET = 'hunter2-s3cr3t'

export const NOW_MS = Date.parse('2026-11-26T07:00:00Z')

/** What a source needs of a node, with a clock that stands still and a log that is kept. */
export class FakeNode implements CredentialComponents {
  nowMs = NOW_MS
  readonly lines: string[] = []
  readonly stopped = new AbortController().signal
  readonly env: Record<string, string | undefined>
  readonly ca?: string
  readonly proxyFor: CredentialComponents['proxyFor']

  constructor(given: { env?: Record<string, string>; ca?: string; proxyFor?: CredentialComponents['proxyFor'] } = {}) {
    this.env = given.env ?? {}
    this.proxyFor = given.proxyFor ?? (() => undefined)
    if (given.ca !== undefined) this.ca = given.ca
  }

  readonly clock = () => this.nowMs
  readonly #keep = (fields: object, message: string) => void this.lines.push(`${message} ${JSON.stringify(fields)}`)
  readonly log = { debug: this.#keep, warn: this.#keep }
}

export const signal = () => AbortSignal.timeout(20_000)

export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-credentials-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** Writes a file that only its owner can read. */
export async function writePrivate(path: string, content: string): Promise<void> {
  await writeFile(path, content, { mode: 0o600 })
}

/** Writes a program in the language of the shell. */
export async function writeProgram(directory: string, name: string, script: string): Promise<void> {
  const path = join(directory, name)
  await writeFile(path, `#!/bin/sh\n${script}\n`)
  await chmod(path, 0o755)
}

/** A server of one test on the loopback. @returns its origin */
export async function serve(handler: RequestListener): Promise<string> {
  const server = createServer(handler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

export async function formOf(request: IncomingMessage): Promise<Record<string, string>> {
  return Object.fromEntries(new URLSearchParams(await text(request)))
}

/** All that an error shows, with its causes. */
export function shown(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return [error.message, error.stack, JSON.stringify(error), error.cause === undefined ? '' : shown(error.cause)].join(
    '\n'
  )
}
