import { join } from 'node:path'
import { writeDockerArchive } from '../images/docker-archive.ts'
import { type BuiltImage, buildImage } from '../images/image.ts'
import type { Program } from '../requirements.ts'
import type { Sandbox } from '../sandbox.ts'
import { Containerd } from './containerd.ts'
import { Docker } from './docker.ts'
import { Podman } from './podman.ts'
import { Skopeo } from './skopeo.ts'

/** A client that pushes and pulls, and shows a password where it has one. */
export interface PushingClient {
  /** Keeps a password for a registry. @throws when the client asks the registry at once, and it does not take it */
  login(host: string, user: string, password: string): Promise<void>
  logout(host: string): Promise<void>
  /** Pushes an image that it has made for this. */
  push(reference: string): Promise<void>
  /** Pulls an image that is not here. */
  pull(reference: string): Promise<void>
}

export interface PushingClientOptions {
  /** Tells it from another one of its kind. @default the client's name */
  readonly name?: string
  /**
   * Directory with what it trusts and shows over TLS, as podman and skopeo take it: `ca.crt`, `client.cert`,
   * `client.key`. Without one it speaks plain HTTP.
   */
  readonly certificates?: string
  /** The same for docker, which takes it as its `/etc/docker`. */
  readonly dockerEtc?: string
}

/** As the clients put 401 and 403. */
export const REFUSED =
  /denied|unauthorized|authorization failed|forbidden|invalid username\/password|you may not do this|log in to do this/i

/** Each client with what it needs of the machine. */
export const PUSHING_CLIENTS = {
  docker: { programs: ['docker', 'dockerd', 'containerd', 'runc'], create: createDocker },
  podman: { programs: ['podman', 'runc'], create: createPodman },
  skopeo: { programs: ['skopeo'], create: createSkopeo },
  containerd: { programs: ['containerd', 'ctr'], create: createContainerd }
} as const satisfies Record<
  string,
  { programs: readonly Program[]; create(sandbox: Sandbox, options?: PushingClientOptions): Promise<PushingClient> }
>

/** Docker trusts registries on this machine as they are. */
async function createDocker(sandbox: Sandbox, options: PushingClientOptions = {}): Promise<PushingClient> {
  const { name = 'docker', dockerEtc: etc } = options
  const docker = await Docker.start(sandbox, { name, ...(etc && { etc }) })
  return {
    login: (host, user, password) => docker.login(host, user, password),
    logout: (host) => docker.logout(host),
    push: async (reference) => {
      await docker.load(await archive(sandbox, name, reference))
      await docker.push(reference)
      await docker.remove(reference)
    },
    pull: async (reference) => {
      await docker.pull(reference)
      await docker.remove(reference)
    }
  }
}

async function createPodman(sandbox: Sandbox, options: PushingClientOptions = {}): Promise<PushingClient> {
  const { name = 'podman', certificates } = options
  const podman = await Podman.create(sandbox, name, [], certificates)
  return {
    login: (host, user, password) => podman.login(host, user, password),
    logout: (host) => podman.logout(host),
    push: async (reference) => {
      await podman.load(await archive(sandbox, name, reference))
      await podman.push(reference)
    },
    pull: (reference) => podman.pull(reference)
  }
}

async function createSkopeo(sandbox: Sandbox, options: PushingClientOptions = {}): Promise<PushingClient> {
  const { name = 'skopeo', certificates } = options
  const skopeo = await Skopeo.create(sandbox, name, certificates)
  return {
    login: (host, user, password) => skopeo.login(host, user, password),
    logout: (host) => skopeo.logout(host),
    push: async (reference) => skopeo.push(await newImage(sandbox, name), reference),
    pull: async (reference) => {
      await skopeo.pull(reference)
    }
  }
}

/** ctr keeps no passwords: it is given one each time. */
async function createContainerd(sandbox: Sandbox, options: PushingClientOptions = {}): Promise<PushingClient> {
  const { name = 'ctr', certificates } = options
  const containerd = await Containerd.start(sandbox, name)
  const passwords = new Map<string, string>()
  const flags = (reference: string) => {
    const password = passwords.get(reference.split('/')[0] ?? '')
    return [...wayTo(certificates), ...(password === undefined ? [] : ['--user', password])]
  }
  return {
    login: async (host, user, password) => {
      passwords.set(host, `${user}:${password}`)
    },
    logout: async (host) => {
      passwords.delete(host)
    },
    push: async (reference) => {
      await containerd.load(await archive(sandbox, name, reference))
      await containerd.pushWith(flags(reference), reference)
      await containerd.remove(reference)
    },
    pull: async (reference) => {
      await containerd.pullWith(flags(reference), reference)
      await containerd.remove(reference)
    }
  }
}

function wayTo(certificates: string | undefined): string[] {
  if (certificates === undefined) return ['--plain-http']
  const file = (name: string) => join(certificates, name)
  return ['--tlscacert', file('ca.crt'), '--tlscert', file('client.cert'), '--tlskey', file('client.key')]
}

async function archive(sandbox: Sandbox, client: string, reference: string): Promise<string> {
  const directory = await sandbox.makeDirectory(`${client}-archive`)
  return writeDockerArchive(await newImage(sandbox, client), directory, reference)
}

let images = 0

/** A small image that nobody has had before. */
async function newImage(sandbox: Sandbox, client: string): Promise<BuiltImage> {
  images += 1
  const directory = join(sandbox.directory, `${client}-image-${images}`)
  return await buildImage(directory, { name: `${client} ${images}`, noiseBytes: 64 * 1024 })
}
