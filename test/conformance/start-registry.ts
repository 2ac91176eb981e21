import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createRegistry, createRegistryServer, type RegistryLog, type RegistryOptions } from '@layermesh/registry'
import { MemoryBackend } from '../../packages/registry/src/testing/memory-backend.ts'

/** A registry under test. */
export interface StartedRegistry {
  /** `http://HOST:PORT` */
  readonly url: string
  stop(): Promise<void>
}

/** A registry that can be pushed to, and mirrors of it that can't. */
export interface StartedSeed extends StartedRegistry {
  startMirror(): Promise<StartedRegistry>
}

/** Starts a registry that takes pushes and deletes. */
export async function startRegistry(): Promise<StartedSeed> {
  const backend = new MemoryBackend()
  const seed = await listen(backend, { deletes: true })
  return { ...seed, startMirror: () => listen(backend, { readOnly: true }) }
}

async function listen(backend: MemoryBackend, options: RegistryOptions): Promise<StartedRegistry> {
  const server = createRegistryServer(createRegistry({ backend, log: complaining }, options)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    }
  }
}

const complain: RegistryLog['error'] = (fields, message) => console.error(message, fields)
const complaining: RegistryLog = { debug() {}, info() {}, warn: complain, error: complain }
