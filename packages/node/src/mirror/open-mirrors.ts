import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Upstreams } from '@layermesh/upstream'
import type { NodeConfig } from '../config/node-config.ts'
import type { Logger } from '../log.ts'
import { type DirectTag, isDirectTag } from '../tags/direct-tags.ts'
import type { Teardown } from '../teardown.ts'
import { isPublicRepository, type PublicRepository } from './client-rights.ts'
import { type MirrorPolicy, Mirrors, type MirrorsOptions } from './mirrors.ts'
import { Remembered } from './remembered.ts'

/** Which registries are mirrored, and what is remembered of them over a restart. */
export interface OpenedMirrors {
  readonly mirrors: Mirrors
  /** The registry for names without a hint. */
  readonly defaultHost: string | undefined
  readonly directTags: Remembered<DirectTag>
  readonly publicRepositories: Remembered<PublicRepository>
}

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
    mirrors: new Mirrors(upstreams, mirrorsOptions(config, log)),
    defaultHost: upstreams.defaultHost,
    directTags,
    publicRepositories
  }
}

/** Without credentials of its own the node can pull no more than anybody, so that no client is to be judged. */
function mirrorsOptions({ upstreams, access }: NodeConfig, log: Logger): MirrorsOptions {
  const named = new Map<string, MirrorPolicy>()
  if (upstreams.defaultHost !== undefined) named.set(upstreams.defaultHost, { direct: true, judgesClients: false })
  for (const { host, direct, clients, credentials } of upstreams.registries)
    named.set(host, { direct, judgesClients: clients === 'own' && credentials !== undefined })
  const judges = [...named.values()].some(({ judgesClients }) => judgesClients)
  // The rules of access control name the registries that clients may pull from.
  if (judges && upstreams.others === 'public')
    log.info(
      {},
      'registries that upstreams does not list are not mirrored, since not all clients may pull all that this node may'
    )
  return { named, isolates: judges || access !== undefined, others: !judges }
}
