import { isDigest, parseImageReference, type Repository, type Tag } from '@layermesh/oci'
import { z } from 'zod'
import type { TagHistory } from '../tags/tag-history.ts'
import { type AdminAction, adminAction } from './action.ts'
import { AdminError } from './errors.ts'

const MAX_ENTRIES = 1_000
const DEFAULT_ENTRIES = 100
const DIGEST_PATTERN = '^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$'

const reference = z.string().max(512).describe('`name:tag`')
const sequence = z.int().min(1)
const digest = z.string().refine(isDigest).meta({ pattern: DIGEST_PATTERN })

const changeSchema = z.strictObject({
  sequence: sequence.describe('Grows with each change; a seed may have renewed the record in between.'),
  at: z.iso.datetime(),
  digest: z.exactOptional(digest).describe('What the tag meant from then on; missing when it was deleted.'),
  previous: z.exactOptional(digest).describe('What it meant until then; missing when it was not there.'),
  actor: z
    .exactOptional(z.string())
    .describe('Who did it; missing for the anonymous, and for what another seed signed.'),
  node: z.exactOptional(z.string()).describe('Peer id of the node by which it came.'),
  signer: z.string().describe('Peer id of the seed that signed it.')
})

/** One change of what a tag means. */
export type TagChange = z.output<typeof changeSchema>

const recoverySchema = z.strictObject({
  restored: z.int().describe('How many tags mean again what they meant.'),
  failed: z
    .array(z.strictObject({ reference: z.string(), reason: z.string() }))
    .readonly()
    .describe('The first of those that do not.'),
  failures: z.int().describe('How many there are.'),
  complete: z.boolean().describe('False when the time was over before all tags were looked at.')
})

/** Reading the history of tags, and going back in it. */
export function tagActions(history: Pick<TagHistory, 'list' | 'restore' | 'recover'>): AdminAction[] {
  return [
    adminAction({
      method: 'GET',
      path: 'tags/history',
      summary: 'The changes of a tag that this seed remembers, newest first',
      input: z.strictObject({
        reference,
        before: z.exactOptional(z.coerce.number<string>().int().min(1)).describe('Only changes of a lower sequence.'),
        limit: z.coerce.number<string>().int().min(1).max(MAX_ENTRIES).default(DEFAULT_ENTRIES)
      }),
      output: z.array(changeSchema),
      run: async ({ reference: text, ...page }) => {
        const { repository, tag } = parseTagged(text)
        const entries = await history.list(repository, tag, page)
        return entries.map((entry) => ({ ...entry, at: new Date(entry.at).toISOString() }))
      }
    }),
    adminAction({
      method: 'POST',
      path: 'tags/restore',
      summary: 'Has a tag mean again what it meant before',
      input: z.strictObject({
        reference,
        sequence: z.exactOptional(sequence).describe('Of the change to go back to.'),
        digest: z.exactOptional(digest).describe('What it is to mean; one of both.')
      }),
      output: z.strictObject({ digest }),
      run: async ({ reference: text, sequence: back, digest: meaning }) => {
        const { repository, tag } = parseTagged(text)
        if (back !== undefined && meaning === undefined) {
          return { digest: await history.restore(repository, tag, { sequence: back }) }
        }
        if (meaning !== undefined && back === undefined) {
          return { digest: await history.restore(repository, tag, { digest: meaning }) }
        }
        throw new AdminError(400, 'BODY_INVALID', 'expected either the sequence of a change, or a digest')
      }
    }),
    adminAction({
      method: 'POST',
      path: 'tags/recover',
      summary: 'Has all tags that a revoked seed signed last mean again what they meant before',
      input: z.strictObject({
        signer: z.string().max(128).describe('Peer id of the revoked seed.'),
        before: z.iso.datetime().describe('What they meant at this moment, by the clock of the seed that is asked.')
      }),
      output: recoverySchema,
      run: ({ signer, before }, signal) => history.recover(signer, Date.parse(before), signal)
    })
  ]
}

function parseTagged(text: string): { repository: Repository; tag: Tag } {
  const { repository, tag, digest } = parseImageReference(text)
  if (tag !== undefined && digest === undefined) return { repository, tag }
  throw new AdminError(400, 'BODY_INVALID', `${text} names no tag; expected NAME:TAG`)
}
