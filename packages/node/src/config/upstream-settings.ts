import { normalizeRegistryHost } from '@layermesh/oci'
import { parseProxy } from '@layermesh/upstream'
import { z } from 'zod'
import { credentials } from './credential-settings.ts'
import { hostName, path, registryHost, shaped, succeeds } from './shapes.ts'

export const NO_UPSTREAM = 'none'

const originUrl = shaped('http:// or https:// and a host, such as https://registry.example:5000', isOrigin)
const hostOrNone = shaped(
  'a registry host such as docker.io, or none',
  (text) => text === NO_UPSTREAM || succeeds(normalizeRegistryHost)(text)
)

const proxy = shaped(
  'a proxy such as http://proxy.example:3128, or none; a user and password belong into HTTPS_PROXY of the environment',
  (text) => text === NO_UPSTREAM || isProxyWithoutCredentials(text)
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
  direct: z.boolean().default(true).describe('Whether it may be asked what a tag means while no trusted seed answers.'),
  proxy: proxy
    .optional()
    .describe('The HTTP proxy by which it, its token service, its stores and its cloud are asked; none: by no proxy.')
})

export const upstreams = z.strictObject({
  proxy: proxy
    .optional()
    .describe(
      'The HTTP proxy by which registries are asked; none: by no proxy. Without it, HTTPS_PROXY and HTTP_PROXY of the ' +
        'environment count; NO_PROXY does in any case.'
    ),
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

/** Settings are shown by `config show`. */
function isProxyWithoutCredentials(text: string): boolean {
  const proxy = parseProxy(text)
  return proxy !== undefined && proxy.authorization === undefined
}

function isOrigin(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`
}
