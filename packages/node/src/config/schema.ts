import { CERTIFICATE_NAMES, isIssuer, isPrefix, REPOSITORY_ACTIONS } from '@layermesh/access'
import { isOciError, normalizeRegistryHost } from '@layermesh/oci'
import { isTrustError, RepositoryPattern } from '@layermesh/trust'
import { EventPattern, FORMATS } from '@layermesh/webhooks'
import { z } from 'zod'
import { isTagPattern } from '../tags/tag-pattern.ts'
import { isJoinAddress, parseListenAddress, parseTcpMultiaddr } from './addresses.ts'
import { parseDuration, parseRate, parseSize } from './units.ts'

/*
 * The settings as an operator writes them, with their defaults and their documentation: the YAML file, the environment,
 * the flags, `config show`, the published JSON schema and the documents all follow from here.
 */

export const ROLES = ['node', 'seed'] as const
const ADMISSIONS = ['secret', 'ticket', 'either'] as const
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

/** An Ed25519 peer id: a base58 multihash of 38 bytes that starts with the same six. */
const PEER_ID = /^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/
const WEBHOOK_NAME = /^[a-z0-9](?:[a-z0-9-]{0,62})$/
const ZONE = /^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,62})$/

/** Strings of one shape, described by what an operator would have to write instead. */
function shaped(expected: string, fits: (text: string) => boolean) {
  const error = `expected ${expected}`
  return z.string({ error }).refine(fits, { error })
}

const duration = shaped('a duration such as 800ms, 10s, 24h or 30d', (text) => parseDuration(text) !== undefined)
const positiveDuration = duration.refine((text) => parseDuration(text) !== 0, { error: 'expected more than 0' })
const size = shaped('a size such as 64MiB', (text) => parseSize(text) !== undefined)
const rate = shaped('a rate such as 50MiB/s or 400Mbit/s', (text) => (parseRate(text) ?? 0) > 0).optional()
const listenAddress = shaped('HOST:PORT, such as 127.0.0.1:5000', (text) => parseListenAddress(text) !== undefined)
const multiaddr = shaped(
  'a TCP multiaddr such as /ip4/127.0.0.1/tcp/5002',
  (text) => parseTcpMultiaddr(text) !== undefined
)
const joinAddress = shaped(
  'a multiaddr such as /ip4/10.0.0.1/tcp/5002, or NAME:PORT of a headless service',
  isJoinAddress
)
const peerId = shaped('a peer id, as `layermesh keys show` prints it (12D3KooW…)', (text) => PEER_ID.test(text))
const repositories = shaped(
  'a pattern such as team/*, ** or docker.io/library/*',
  succeeds((text) => new RepositoryPattern(text))
)
const registryHost = shaped(
  'a registry host such as registry.example or localhost:5000',
  succeeds(normalizeRegistryHost)
)
const hostName = shaped('a host name without port', (text) => parseListenAddress(`${text}:0`) !== undefined)
const path = shaped('a path', (text) => text.length > 0 && !text.includes('\0'))
const webhookName = shaped('a name of up to 63 small letters, digits and dashes', (text) => WEBHOOK_NAME.test(text))
const webhookUrl = shaped('an http: or https: URL without credentials and fragment', isWebhookUrl)
const eventPattern = shaped(
  'an event or a pattern such as manifest.pushed, tag.* or * (packages/webhooks/EVENTS.md)',
  succeeds((text) => new EventPattern(text))
)
const MIN_AUDIT_BYTES = 64 * 1024
const count = (limit: number) => z.int().min(1).max(limit)

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

const registry = z.strictObject({
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

const admin = z.strictObject({
  listen: listenAddress.default('127.0.0.1:5001').describe('Where health, metrics and the admin API are.'),
  hosts: z
    .array(hostName)
    .default([])
    .describe('Names by which the admin listener may be asked, besides localhost and IP addresses.')
})

const mesh = z.strictObject({
  listen: z
    .array(multiaddr)
    .min(1, { error: 'expected at least one address' })
    .default(['/ip4/127.0.0.1/tcp/5002'])
    .describe('Where other nodes reach this one.'),
  announce: z.array(multiaddr).default([]).describe('Addresses told to other nodes instead of those listened on.'),
  join: z
    .array(joinAddress)
    .default([])
    .describe('Nodes to join through: multiaddrs, with or without peer id, or NAME:PORT of a headless service.'),
  secretFile: path
    .optional()
    .describe(
      'File with the cluster secret, as `layermesh secret new` prints it. Nodes with another secret are kept out. It may hold up to four, one a line, all of which count, and is read again when it changes.'
    ),
  ticketFile: path
    .optional()
    .describe(
      'File with the admission ticket of this node, as `layermesh ticket new` prints it. It is read again when it changes.'
    ),
  admission: z
    .enum(ADMISSIONS)
    .default('secret')
    .describe('What other nodes must show: the cluster secret, a ticket of a trusted seed, or either of them.'),
  allowWithoutSecret: z
    .boolean()
    .default(false)
    .describe(
      'Lets a node that asks for neither secret nor ticket listen beyond loopback: whoever reaches it may join.'
    ),
  maxPeers: count(100_000).default(300).describe('Connections to other nodes at one time.')
})

const trust = z
  .array(
    z.strictObject({
      peerId: peerId.describe('The signer.'),
      repositories: z
        .array(repositories)
        .min(1, { error: 'expected at least one pattern' })
        .default(['**'])
        .describe(
          'Patterns of what it may sign for; ** is all of the mesh’s own repositories and none that is mirrored.'
        )
    })
  )
  .default([])
  .describe('Who may sign what a tag means. A seed always trusts itself.')

const seedSet = z.strictObject({
  root: peerId
    .optional()
    .describe(
      'Peer id of an offline key; the seeds that a set names which it signed are trusted as if `trust` named them.'
    ),
  file: path
    .optional()
    .describe('A set to begin with, as `layermesh seeds sign` writes it; nodes get newer ones from each other.')
})

const freshness = z
  .array(
    z.strictObject({
      repositories,
      maxAge: duration.default('10s').describe('Age up to which a tag is answered without asking the seed.'),
      maxStale: duration.default('24h').describe('Age up to which it is answered while no seed can be reached.')
    })
  )
  .default([])
  .describe('How old a tag may be, by repository; the first pattern that fits counts.')

/** All but pulls, of which there are many. */
const CHANGES = ['*.pushed', '*.mounted', '*.deleted', 'tag.*', 'image.*', 'peer.*']

const webhooks = z
  .array(
    z.strictObject({
      name: webhookName.describe('By which commands, logs and metrics name it.'),
      url: webhookUrl.describe('Where events are sent; secrets belong into headersFile.'),
      format: z
        .enum(FORMATS)
        .default('cloudevents')
        .describe('CloudEvents 1.0, or the envelope of Docker’s distribution.'),
      secretFile: path
        .optional()
        .describe('Secrets that sign what is sent, one a line; without it, only the format docker is sent.'),
      events: z
        .array(eventPattern)
        .min(1, { error: 'expected at least one pattern' })
        .default(CHANGES)
        .describe('Which events; the default is all but pulls.'),
      repositories: z
        .array(repositories)
        .min(1, { error: 'expected at least one pattern' })
        .optional()
        .describe('Of which repositories; without it, of all.'),
      ignoreMediaTypes: z
        .array(z.string())
        .default([])
        .describe('Media types of which the format docker tells nothing, such as application/octet-stream for blobs.'),
      headersFile: path.optional().describe('Headers that are sent along, one `Name: value` a line.'),
      caFile: path.optional().describe('Certificates in PEM that are trusted in place of the usual ones.'),
      allowPrivateAddresses: z
        .boolean()
        .default(false)
        .describe('Lets this one be reached at private, loopback and other addresses that are not of the internet.'),
      timeout: positiveDuration.default('10s').describe('Time for one delivery.'),
      maxAttempts: count(1_000).default(20).describe('Deliveries that are tried before an event is given up.')
    })
  )
  .max(50, { error: 'expected no more than 50' })
  .default([])
  .describe('Receivers of events.')

const name = shaped('a name without control characters, 255 characters at most', (text) =>
  /^\P{Cc}{1,255}$/u.test(text)
)
const groupName = shaped('the name of a group, without a colon', (text) => /^[^:\p{Cc}]{1,255}$/u.test(text))
const within = (least: string, most: string) =>
  shaped(`a duration from ${least} to ${most}`, (text) => {
    const ms = parseDuration(text) ?? 0
    return ms >= (parseDuration(least) ?? 0) && ms <= (parseDuration(most) ?? 0)
  })

const grant = z.strictObject({
  users: z.array(name).default([]).describe('Users by name.'),
  groups: z
    .array(name)
    .default([])
    .describe('Groups of access.groups, or of an identity provider, which begin with its prefix.'),
  authenticated: z.boolean().default(false).describe('Everybody who has proved who they are.'),
  anyone: z.boolean().default(false).describe('Everybody.'),
  actions: z
    .array(z.enum(REPOSITORY_ACTIONS))
    .min(1, { error: 'expected at least one action' })
    .describe('create: push what is new; update: have an existing tag mean something else.')
})

const oidc = z.strictObject({
  issuer: shaped('an https URL without query and fragment (http on loopback only)', isIssuer).describe(
    'The identity provider, by the URL that it calls itself.'
  ),
  audience: name.describe('What its tokens must be meant for.'),
  usernameClaim: name.default('sub').describe('The claim that is the user’s name.'),
  groupsClaim: name.optional().describe('The claim that lists the user’s groups.'),
  prefix: shaped('a word with a colon at its end, such as corp:', isPrefix)
    .default('oidc:')
    .describe('Stands before the names of its users and groups, so that they are nobody else’s.'),
  caFile: path.optional().describe('PEM file of the authorities that vouch for its address, instead of the usual ones.')
})

const access = z.strictObject({
  htpasswd: path
    .optional()
    .describe('File of users with bcrypt hashes, as `layermesh user add` makes it. It is read anew when it changes.'),
  oidc: z.array(oidc).default([]).describe('OpenID Connect identity providers whose tokens prove who a client is.'),
  clientCertificates: z
    .strictObject({ name: z.enum(CERTIFICATE_NAMES).describe('Which part of the certificate is the user’s name.') })
    .optional()
    .describe('Has certificates that registry.tls.clientCa signed prove who a client is.'),
  groups: z.record(groupName, z.array(name)).default({}).describe('Groups, each with the names of its users.'),
  challenge: z
    .enum(['token', 'basic'])
    .default('token')
    .describe(
      'What clients are asked for: a token, for which they show their password once, or the password each time.'
    ),
  tokenValidity: within('1m', '1h').default('5m').describe('How long a token holds.'),
  refreshTokenValidity: within('1h', '365d')
    .default('30d')
    .describe('How long clients that ask for it need not show their password again.'),
  rules: z
    .array(
      z.strictObject({
        repositories: repositories.describe(
          'Pattern; ** is all of the mesh’s own repositories and none that is mirrored.'
        ),
        grant: z.array(grant).describe('Who may do what there; the grants add up.')
      })
    )
    .default([])
    .describe(
      'Who may do what: the first rule whose pattern fits counts. Where none fits, mirrored repositories may be ' +
        'pulled, and nothing is allowed in others.'
    )
})

/** The whole file. Every object is strict: a key that is not here is refused. */
export const settingsSchema = z
  .strictObject({
    role: z
      .enum(ROLES)
      .default('node')
      .describe('A seed signs what tags mean; a node follows the seeds that it trusts.'),
    dataDir: path.default('./data').describe('Where the key and all content are kept.'),
    zone: shaped('a name of letters, digits, dots and dashes', (text) => ZONE.test(text))
      .default('default')
      .describe('Hosts with quick links between them, such as one datacenter; bytes are taken from there first.'),
    registry: registry.prefault({}).describe('The registry API.'),
    access: access
      .optional()
      .describe('Who may do what in the registry; without this section everybody may do everything.'),
    admin: admin.prefault({}).describe('The admin listener.'),
    mesh: mesh.prefault({}).describe('The peer-to-peer network.'),
    trust,
    seedSet: seedSet.prefault({}).describe('Who may sign what a tag means, by the word of an offline key.'),
    tags: z
      .strictObject({
        validity: positiveDuration.default('30d').describe('How long a record holds that this node signs.'),
        immutable: z
          .array(
            z.strictObject({
              repositories,
              tags: shaped('a pattern of tags such as v* or *', isTagPattern)
                .default('*')
                .describe('A tag in which * stands for any characters.')
            })
          )
          .default([])
          .describe('Tags that, once this seed has signed them, can be neither moved nor deleted.')
      })
      .prefault({})
      .describe('Signed tags.'),
    freshness,
    store: z
      .strictObject({ minFree: size.default('64MiB').describe('Disk space that is always left free.') })
      .prefault({})
      .describe('The content store.'),
    uploads: z
      .strictObject({
        maxSessions: count(1_000_000).default(1_000).describe('Pushes of blobs open at one time.'),
        idleTimeout: positiveDuration
          .default('1h')
          .describe('Time after which a push is dropped that nobody continues.')
      })
      .prefault({})
      .describe('Pushes.'),
    pull: z
      .strictObject({
        deadline: positiveDuration.default('800ms').describe('Time to find a source before the client is told 404.')
      })
      .prefault({})
      .describe('Pulls.'),
    webhooks,
    audit: z
      .strictObject({
        file: path
          .optional()
          .describe(
            'Where lines of JSON say who did what; - is standard output, off is nowhere. Without it, audit.log in dataDir.'
          ),
        pulls: z.boolean().default(false).describe('Tells of every pull too.'),
        maxSize: size
          .refine((text) => (parseSize(text) ?? 0) >= MIN_AUDIT_BYTES, { error: 'expected at least 64KiB' })
          .default('16MiB')
          .describe('Length after which the file is put aside.'),
        keep: count(1_000).default(8).describe('Files put aside that are kept, as FILE.1 and so on.')
      })
      .prefault({})
      .describe('The audit log.'),
    limits: z
      .strictObject({
        download: rate.describe('What is taken in from all other nodes together.'),
        upload: rate.describe('What is given to all other nodes together.'),
        farDownload: rate.describe('What is taken in from nodes of other zones.'),
        farUpload: rate.describe('What is given to nodes of other zones.')
      })
      .prefault({})
      .describe('Rates of payload between nodes; without them, there is no limit.'),
    log: z
      .strictObject({
        level: z.enum(LOG_LEVELS).default('info').describe('The least that is logged.'),
        format: z
          .enum(['auto', 'json', 'pretty'])
          .default('auto')
          .describe('JSON lines, or lines for people; auto is pretty on a terminal.')
      })
      .prefault({})
      .describe('The log.')
  })
  .describe('Settings of a layermesh node.')

/** The settings with all defaults filled in, spelt as in the file. */
export type Settings = z.output<typeof settingsSchema>

/** The published JSON schema of the file, draft 2020-12. */
export function settingsJsonSchema(): Record<string, unknown> {
  return { title: 'layermesh', ...z.toJSONSchema(settingsSchema, { io: 'input' }) }
}

/** Tells whether this is a URL of scheme and host alone, whose host can be told from the first part of a repository. */
function isOrigin(text: string): boolean {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) return false
  if (url.href !== `${url.origin}/`) return false
  return succeeds(normalizeRegistryHost)(url.host)
}

function isWebhookUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, username, password, hash } = new URL(text)
  return (protocol === 'https:' || protocol === 'http:') && username + password + hash === ''
}

function succeeds(read: (text: string) => unknown): (text: string) => boolean {
  return (text) => {
    try {
      read(text)
      return true
    } catch (error) {
      if (isOciError(error) || isTrustError(error) || error instanceof TypeError) return false
      throw error
    }
  }
}
