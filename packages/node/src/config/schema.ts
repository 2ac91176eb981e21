import { z } from 'zod'
import { isTagPattern } from '../tags/tag-pattern.ts'
import { access } from './access-settings.ts'
import { audit, webhooks } from './event-settings.ts'
import { freshness, mesh, seedSet, trust } from './mesh-settings.ts'
import { admin, registry } from './registry-settings.ts'
import { retention } from './retention-settings.ts'
import { count, path, positiveDuration, rate, repositories, shaped } from './shapes.ts'
import { store } from './store-settings.ts'
import { upstreams } from './upstream-settings.ts'

/*
 * The settings as an operator writes them, with their defaults and their documentation: the YAML file, the environment,
 * the flags, `config show`, the published JSON schema and the documents all follow from here.
 */

export const ROLES = ['node', 'seed'] as const
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

const ZONE = /^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,62})$/

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
    store: store.prefault({}).describe('The content store.'),
    retention: retention.prefault({}).describe('Which tags and manifests of its own repositories a seed removes.'),
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
    upstreams: upstreams.prefault({}).describe('Other registries, whose images this node mirrors.'),
    webhooks,
    audit: audit.prefault({}).describe('The audit log.'),
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
