import { CliFailure } from '../failure.ts'

export const DEFAULT_MIRROR = 'http://127.0.0.1:5000'
/** A name or address with a port perhaps, as it stands first in an image's name. */
const REGISTRY = /^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::\d{1,5})?$/

/** What `node.json` says of where clients find a node. */
interface NodePlace {
  readonly pid: number
  readonly registry: string
  readonly mirror?: string
}

/**
 * The URL of a mirror as all clients take it.
 * @throws CliFailure when it has more than scheme, host and port: Docker 20.10 refuses a path, all refuse the rest
 */
export function readMirror(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url !== undefined && url.href === `${url.protocol}//${url.host}/` && /^https?:$/.test(url.protocol))
    return url.origin
  // A password may stand in it.
  throw new CliFailure('USAGE', `--mirror ${text.replace(/^.*@/s, '…@')} is no http://HOST:PORT or https://HOST:PORT`)
}

/** @throws CliFailure when it is no host of a registry */
export function readRegistry(text: string): string {
  // The name that people know, and the one in the names of images.
  if (['index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com'].includes(text)) return 'docker.io'
  if (REGISTRY.test(text)) return text
  throw new CliFailure(
    'USAGE',
    `--registry ${text} is no host as it stands before images: docker.io, or registry.example:5000`
  )
}

/** Where clients of this host find a node that runs here; undefined when it runs no more. */
export function mirrorOfNode(
  { pid, registry, mirror }: NodePlace,
  isAlive: (pid: number) => boolean
): string | undefined {
  if (!isAlive(pid)) return undefined
  const url = new URL(mirror ?? registry)
  if (['0.0.0.0', '[::]'].includes(url.hostname)) url.hostname = '127.0.0.1'
  return readMirror(url.origin)
}
