import { OciError } from '@layermesh/oci'
import { z } from 'zod'
import type { Retention } from '../retention/retention.ts'
import { type AdminAction, adminAction } from './action.ts'

/** Before the deadline of an action: what is done until then is told, and the rest is for the next run. */
const RUN_MS = 20_000
const MAX_LISTED = 1_000

const count = z.int().min(0)
const listed = <Item extends z.ZodType>(item: Item) => z.array(item).describe(`The first ${MAX_LISTED}.`)

const reportSchema = z.strictObject({
  dryRun: z.boolean(),
  complete: z.boolean().describe('False when the time was over before all was looked at; ask again to go on.'),
  repositories: count.describe('Repositories that a rule is about.'),
  tags: listed(z.strictObject({ repository: z.string(), tag: z.string(), digest: z.string() })),
  manifests: listed(z.strictObject({ repository: z.string(), digest: z.string() })),
  spared: listed(z.strictObject({ reference: z.string(), reason: z.string() })),
  counts: z
    .strictObject({ tags: count, manifests: count, spared: count })
    .describe('How many were removed, and left although the rules say otherwise.')
})

/** What retention removed, or would remove. */
export type RetentionResult = z.output<typeof reportSchema>

/** Having retention run. @param retention undefined where there are no rules, or no seed */
export function retentionActions(retention: Pick<Retention, 'run'> | undefined): AdminAction[] {
  return [
    adminAction({
      method: 'POST',
      path: 'retention/run',
      summary: 'Removes tags and manifests that the retention rules do not keep',
      input: z.strictObject({ dryRun: z.boolean().default(false).describe('Only tells what would be removed.') }),
      output: reportSchema,
      run: async ({ dryRun }, signal) => {
        if (retention === undefined) {
          throw new OciError('UNSUPPORTED', 'no retention.rules are set here, or this node is no seed')
        }
        const report = await retention.run({ dryRun, signal: AbortSignal.any([signal, AbortSignal.timeout(RUN_MS)]) })
        const { complete, repositories, tags, manifests, spared } = report
        return {
          dryRun,
          complete,
          repositories,
          tags: tags.slice(0, MAX_LISTED),
          manifests: manifests.slice(0, MAX_LISTED),
          spared: spared.slice(0, MAX_LISTED),
          counts: { tags: tags.length, manifests: manifests.length, spared: spared.length }
        }
      }
    })
  ]
}
