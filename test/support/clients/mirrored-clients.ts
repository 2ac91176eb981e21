import { digestOf } from '@layermesh/oci'
import type { Program } from '../requirements.ts'
import type { Sandbox } from '../sandbox.ts'
import { Containerd } from './containerd.ts'
import type { PrefixMirror } from './containers-home.ts'
import { Docker } from './docker.ts'
import { Podman } from './podman.ts'
import { Skopeo } from './skopeo.ts'

/** A client that asks a node first, and the registry itself when that can't help. */
export interface MirroredClient {
  /**
   * Pulls an image that is not here. @returns the digests by which the client knows it, among them the one that the tag
   * meant @throws when it can't be had
   */
  pull(reference: string): Promise<readonly string[]>
  /** Forgets an image, so that it has to be pulled again. */
  forget(reference: string): Promise<void>
}

export interface MirroredClientOptions {
  /** Tells it from others. */
  readonly name: string
  /** `http://127.0.0.1:PORT` of the node. */
  readonly mirrorUrl: string
  /** The registries for which it asks the node. */
  readonly registries: readonly string[]
  /** The environment in which it reaches registries themselves. */
  readonly env: Readonly<Record<string, string>>
}

/** Each client with what it needs of the machine, and the way in which it addresses what is mirrored. */
export const MIRRORED_CLIENTS = {
  docker: {
    programs: ['docker', 'dockerd', 'containerd', 'runc'],
    way: 'registry-mirrors, without a hint',
    /** Docker has mirrors for this registry only. */
    registries: ['docker.io'],
    create: createDocker
  },
  containerd: { programs: ['containerd', 'ctr'], way: '?ns=', create: createContainerd },
  podman: { programs: ['podman', 'runc'], way: 'prefix', create: createPodman },
  skopeo: { programs: ['skopeo'], way: 'prefix', create: createSkopeo }
} as const satisfies Record<
  string,
  {
    readonly programs: readonly Program[]
    readonly way: string
    readonly registries?: readonly string[]
    create(sandbox: Sandbox, options: MirroredClientOptions): Promise<MirroredClient>
  }
>

async function createDocker(
  sandbox: Sandbox,
  { name, mirrorUrl, env }: MirroredClientOptions
): Promise<MirroredClient> {
  const docker = await Docker.start(sandbox, { name, registryMirror: mirrorUrl, env })
  return {
    pull: async (reference) => {
      await docker.pull(reference)
      return digestsIn(await docker.repositoryDigests(reference))
    },
    forget: (reference) => docker.remove(reference)
  }
}

async function createContainerd(sandbox: Sandbox, options: MirroredClientOptions): Promise<MirroredClient> {
  const { name, mirrorUrl, registries, env } = options
  const containerd = await Containerd.start(sandbox, name, env)
  for (const registry of registries) await containerd.useMirror(registry, mirrorUrl)
  return {
    pull: async (reference) => {
      await containerd.pull(reference)
      return digestsIn([(await containerd.digestOf(reference)) ?? ''])
    },
    forget: (reference) => containerd.remove(reference)
  }
}

async function createPodman(sandbox: Sandbox, options: MirroredClientOptions): Promise<MirroredClient> {
  const podman = await Podman.create(sandbox, options.name, prefixes(options), undefined, options.env)
  return {
    pull: async (reference) => {
      await podman.pull(reference)
      return digestsIn(await podman.repositoryDigests(reference))
    },
    forget: (reference) => podman.remove(reference)
  }
}

async function createSkopeo(sandbox: Sandbox, options: MirroredClientOptions): Promise<MirroredClient> {
  const skopeo = await Skopeo.withMirrors(sandbox, options.name, prefixes(options), options.env)
  return { pull: async (reference) => [digestOf(await skopeo.pull(reference))], forget: async () => {} }
}

function prefixes({ mirrorUrl, registries }: MirroredClientOptions): PrefixMirror[] {
  return registries.map((prefix) => ({ prefix, mirror: `${new URL(mirrorUrl).host}/${prefix}` }))
}

function digestsIn(names: readonly string[]): string[] {
  return names.flatMap((name) => /sha256:[0-9a-f]{64}$/.exec(name)?.[0] ?? [])
}
