import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import type { MeshNode } from '../../support/node.ts'
import { type Layer, TAG } from './layer.ts'

interface PullEnd {
  readonly type: string
  readonly error?: { readonly message: string }
}

/** Has a node bring an image into its store, as `layermesh pull` does; resolves when it is whole and on the disk. */
export async function pullInto(node: MeshNode, { repository }: Layer): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const asked = request(`${node.adminUrl}/api/v1/pull`, { method: 'POST', headers, agent: false })
  asked.end(JSON.stringify({ reference: `${repository}:${TAG}` }))
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  const lines = (await text(response)).trimEnd().split('\n')
  const last = JSON.parse(lines.at(-1) ?? '') as PullEnd
  if (last.type !== 'done') throw new Error(`${node.name} could not pull: ${last.error?.message ?? lines.at(-1)}`)
}
