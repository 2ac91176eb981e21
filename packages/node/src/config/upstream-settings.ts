import { normalizeRegistryHost } from '@layermesh/oci'
import { z } from 'zod'
import { credentials } from './credential-settings.ts'
import { hostName, path, registryHost, shaped, succeeds } from './shapes.ts'

export const NO_UPSTREAM = 'none'

const originUrl = shaped('http:// or https:// and a host, such as https://registry.example:5000', isOrigin)
const hostOrNone = shaped(
  'a registry host such as docker.io, or none',
  (text) => text === NO_UPSTREAM || succeeds(normalizeRegistryHost)(text)
)

const upstreamRegistry = z.strictObject({
  url: originUrl
    .optional()
    .describe('Where it is; without it, https:// and its name. http:// and private addresses are fine here.'),
  mirror: z.boolean().default(true).describe('false: it is never asked, and its images are not mirrored.'),
  caFile: path
    .optional()
    .describe('Certificates in PEM that are trusted in place of the usual ones. They are read again when they change.'),
  realmHosts: z
    .array(hostName)
    .default([])
    .describe('Hosts of its token service, beyond its own host and others of the same registrable domain.'),
  credentials: credentials.optional().describe('Who asks it; without this section nobody does, by name.'),
  clients: z
    .enum(['own', 'all'])
    .default('own')
    .describe(
      'Which clients of this node get what it may pull with its credentials. own: those to whom the registry gives it ' +
        'itself, anonymously or by the Authorization header that they sent; all: everybody.'
    ),
  direct: z.boolean().default(true).describe('Whether it may be asked what a tag means while no trusted seed answers.')
})

export const upstreams = z.strictObject({
  default: hostOrNone
    .default('docker.io')
    .describe(
      'The registry for names without a host that no trusted seed may sign for; none: there is no such registry.'
    ),
  others: z
    .enum(['public', NO_UPSTREAM])
    .default('public')
    .describe('Registries that are not listed. public: by https at public addresses only; none: they are not asked.'),
  registries: z
    .record(registryHost, upstreamRegistry)
    .default({})
    .describe('Registries by their names in images, such as docker.io or registry.example:5000.')
})

function isOrigin(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`
}
