import { Authority } from './certificates.ts'
import { MeshNode } from './node.ts'
import type { Sandbox } from './sandbox.ts'
import { Internet } from './upstream/internet.ts'
import { Upstream } from './upstream/upstream.ts'

const HUB = 'docker.io'
/** Where clients find it. */
export const HUB_SERVER = 'registry-1.docker.io'

/** What stands for Docker Hub, a node in front of it, and all that clients know of the internet: the way to that hub. */
export interface MirroredHub {
  readonly hub: Upstream
  readonly node: MeshNode
  readonly internet: Internet
}

export async function startMirroredHub(sandbox: Sandbox): Promise<MirroredHub> {
  const authority = await Authority.create(sandbox, 'authority')
  const internet = await Internet.open(sandbox, authority)
  const hub = await Upstream.start(sandbox, { name: 'hub', authority, serverNames: [HUB_SERVER] })
  internet.lead(HUB_SERVER, hub.host)
  const settings = { upstreams: { default: HUB, others: 'none', registries: { [HUB]: hub.settings() } } }
  const node = await MeshNode.start(sandbox, { name: 'node', role: 'seed', settings })
  return { hub, node, internet }
}
