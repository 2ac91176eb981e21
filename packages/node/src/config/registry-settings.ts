import { normalizeRegistryHost } from '@layermesh/oci'
import { z } from 'zod'
import { hostName, listenAddress, path, registryHost, shaped, succeeds } from './shapes.ts'

const publicUrl = shaped('a URL without a path, such as https://registry.example:5000', isOrigin)

const tls = z.strictObject({
  certificate: path.describe('PEM file of the certificate, followed by those of intermediate authorities.'),
  key: path.describe('PEM file of its private key.'),
  clientCa: path
    .optional()
    .describe(
      'PEM file of authorities. Clients are asked for a certificate, and one that these signed proves who it is.'
    ),
  requireClientCertificate: z
    .boolean()
    .default(false)
    .describe('Refuses connections without a certificate that one of clientCa signed.')
})

export const registry = z.strictObject({
  listen: listenAddress.default('127.0.0.1:5000').describe('Where container clients find the /v2/ API.'),
  mirrorListen: listenAddress
    .optional()
    .describe('A second listener for mirror settings of clients: it only gives, and never asks who a client is.'),
  publicUrl: publicUrl
    .optional()
    .describe('Where clients reach this registry, such as https://registry.example:5000. Its host is one of ownHosts.'),
  tls: tls.optional().describe('Has registry.listen speak TLS 1.2 and later. Changed files are taken within seconds.'),
  behindTlsProxy: z
    .boolean()
    .default(false)
    .describe(
      'Says that all clients of registry.listen come through a proxy that ends TLS and puts their address last in ' +
        'X-Forwarded-For.'
    ),
  ownHosts: z
    .array(registryHost)
    .default([])
    .describe('Registry hosts whose images are the mesh’s own rather than mirrored ones.'),
  readOnly: z.boolean().default(false).describe('Refuses every push and delete.'),
  deletes: z.boolean().default(true).describe('Lets clients delete tags, manifests and blobs.')
})

export const admin = z.strictObject({
  listen: listenAddress.default('127.0.0.1:5001').describe('Where health, metrics and the admin API are.'),
  hosts: z
    .array(hostName)
    .default([])
    .describe('Names by which the admin listener may be asked, besides localhost and IP addresses.')
})

/** Tells whether this is a URL of scheme and host alone, whose host can be told from the first part of a repository. */
function isOrigin(text: string): boolean {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) return false
  if (url.href !== `${url.origin}/`) return false
  return succeeds(normalizeRegistryHost)(url.host)
}
