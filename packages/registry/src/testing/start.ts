import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import type { RegistryBackend, RegistryEvent, RegistryRefusal } from '../interfaces.ts'
import type { RegistryLog } from '../log.ts'
import type { RegistryOptions, RegistryServerOptions } from '../options.ts'
import { createRegistry, type RegistryComponents } from '../registry.ts'
import { createRegistryServer } from '../server.ts'
import { TestClient } from './client.ts'
import { MemoryBackend } from './memory-backend.ts'

/** A line that the registry logged. */
export interface LogLine {
  readonly level: keyof RegistryLog
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** A registry on a free port for the length of one test. */
export interface TestRegistry {
  readonly client: TestClient
  readonly backend: MemoryBackend
  readonly events: readonly RegistryEvent[]
  readonly refusals: readonly RegistryRefusal[]
  readonly log: readonly LogLine[]
}

/** Access control of a test's registry. */
type TestAccess = Pick<RegistryComponents, 'access' | 'sealingKey'>

/**
 * Starts a registry over a backend in memory and stops it when the test ends.
 * @param wrap gives the backend that is really used, such as one that fails where the one in memory does not
 * @param listener is told of each event, after it was noted
 */
export async function startRegistry(
  { access, sealingKey, ...options }: RegistryOptions & RegistryServerOptions & TestAccess = {},
  wrap: (backend: MemoryBackend) => RegistryBackend = (backend) => backend,
  listener: (event: RegistryEvent) => void | Promise<void> = () => {}
): Promise<TestRegistry> {
  const backend = new MemoryBackend()
  const events: RegistryEvent[] = []
  const refusals: RegistryRefusal[] = []
  const lines: LogLine[] = []
  const log = collectingLog(lines)
  const record = async (event: RegistryEvent) => {
    events.push(event)
    await listener(event)
  }
  const app = createRegistry(
    {
      backend: wrap(backend),
      log,
      events: { record, refused: (refusal) => void refusals.push(refusal) },
      ...(access === undefined ? {} : { access }),
      ...(sealingKey === undefined ? {} : { sealingKey })
    },
    { deletes: true, ...options }
  )
  const server = createRegistryServer(app, options).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(async () => {
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  })
  return { client: new TestClient((server.address() as AddressInfo).port), backend, events, refusals, log: lines }
}

function collectingLog(lines: LogLine[]): RegistryLog {
  const at =
    (level: keyof RegistryLog): RegistryLog['info'] =>
    (fields, message) =>
      lines.push({ level, message, fields })
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
