import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Upstreams } from '@layermesh/upstream'
import type { NodeConfig } from '../config/node-config.ts'
import type { Logger } from '../log.ts'
import { type DirectTag, isDirectTag } from '../tags/direct-tags.ts'
import type { Teardown } from '../teardown.ts'
import { isPublicRepository, type PublicRepository } from './client-rights.ts'
import { type MirrorPolicy, Mirrors } from './mirrors.ts'
import { Remembered } from './remembered.ts'

/** Which registries are mirrored, and what is remembered of them over a restart. */
export interface OpenedMirrors {
  readonly mirrors: Mirrors
  /** The registry for names without a hint. */
  readonly defaultHost: string | undefined
  readonly directTags: Remembered<DirectTag>
  readonly publicRepositories: Remembered<PublicRepository>
}

const UNLISTED: MirrorPolicy = Object.freeze({ direct: true, judgesClients: false })

/** Opens what `DIR/mirror` holds. @throws system errors when the directory can't be made */
export async function openMirrors(
  { upstreams, log, started }: { upstreams: Upstreams; log: Logger; started: Teardown },
  config: NodeConfig
): Promise<OpenedMirrors> {
  const directory = join(config.dataDir, 'mirror')
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const onFailure = (error: unknown) => log.warn({ err: error }, 'what registries said could not be written down')
  const directTags = await Remembered.open(join(directory, 'tags.json'), isDirectTag, onFailure)
  const publicRepositories = await Remembered.open(join(directory, 'public.json'), isPublicRepository, onFailure)
  started.add(() => Promise.all([directTags.close(), publicRepositories.close()]))
  return {
    mirrors: new Mirrors(upstreams, mirrorPolicies(config)),
    defaultHost: upstreams.defaultHost,
    directTags,
    publicRepositories
  }
}

/** Without credentials of its own the node can pull no more than anybody, so that no client is to be judged. */
function mirrorPolicies({ upstreams }: NodeConfig): (host: string) => MirrorPolicy {
  const listed = new Map<string, MirrorPolicy>(
    upstreams.registries.map(({ host, direct, clients, credentials }) => [
      host,
      { direct, judgesClients: clients === 'own' && credentials !== undefined }
    ])
  )
  return (host) => listed.get(host) ?? UNLISTED
}
