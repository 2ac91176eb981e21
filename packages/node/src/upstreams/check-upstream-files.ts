import { readCertificates } from '@layermesh/upstream'
import type { NodeConfig } from '../config/node-config.ts'

/** Reads the files of certificates that registries are configured with. @throws {UpstreamError} */
export async function checkUpstreamFiles({ upstreams }: Pick<NodeConfig, 'upstreams'>): Promise<void> {
  for (const { host, caFile } of upstreams.registries) if (caFile !== undefined) await readCertificates(host, caFile)
}
