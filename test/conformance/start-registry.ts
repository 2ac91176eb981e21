import { MeshNode } from '../support/node.ts'
import type { Sandbox } from '../support/sandbox.ts'

/** A registry under test. */
export interface StartedRegistry {
  /** `http://HOST:PORT` */
  readonly url: string
}

/** A registry that can be pushed to, and mirrors of it that get all they have through the mesh. */
export interface StartedSeed extends StartedRegistry {
  startMirror(): Promise<StartedRegistry>
}

/** Starts a seed, which takes pushes and deletes. Each in a sandbox needs a name of its own. */
export async function startRegistry(
  sandbox: Sandbox,
  name: string,
  settings: Readonly<Record<string, unknown>> = {}
): Promise<StartedSeed> {
  const seed = await MeshNode.start(sandbox, { name, role: 'seed', settings })
  return { url: seed.registryUrl, startMirror: () => startMirror(sandbox, seed) }
}

async function startMirror(sandbox: Sandbox, seed: MeshNode): Promise<StartedRegistry> {
  const mirror = await MeshNode.start(sandbox, { name: `${seed.name}-mirror`, join: [seed], seed })
  return { url: mirror.registryUrl }
}
