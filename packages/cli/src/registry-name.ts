import { isOciError, parseImageReference } from '@layermesh/oci'
import { CliFailure } from './failure.ts'

const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '[::1]']

/**
 * Takes the node's own registry off an image name: what `docker pull localhost:5000/team/app` names is the mesh's
 * `team/app`, while other hosts name mirrored registries.
 * @param registry URL of the node's registry
 */
export function withoutRegistry(reference: string, registry: string): string {
  const { host, hostname, port } = new URL(registry)
  const names = LOOPBACK_NAMES.includes(hostname) ? LOOPBACK_NAMES.map((name) => `${name}:${port}`) : [host]
  const slash = reference.indexOf('/')
  return names.includes(reference.slice(0, Math.max(slash, 0)).toLowerCase()) ? reference.slice(slash + 1) : reference
}

/** @throws {CliFailure} USAGE when a reference names no image */
export function checkReference(reference: string): void {
  try {
    parseImageReference(reference)
  } catch (error) {
    if (!isOciError(error)) throw error
    throw new CliFailure('USAGE', `${reference} names no image: ${error.message}`, { cause: error })
  }
}
