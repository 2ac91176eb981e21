import { type GarbageReport, isContentError, type Pin } from '@layermesh/content'
import { isDigest, parseImageReference } from '@layermesh/oci'
import { z } from 'zod'
import type { Garbage } from '../store/garbage.ts'
import type { ImagePins } from '../store/image-pins.ts'
import { type AdminAction, adminAction } from './action.ts'
import { AdminError } from './errors.ts'

const DIGEST_PATTERN = '^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$'
/** Before the deadline of an action: what is done until then is told, and the rest begins where it ended. */
const COLLECT_MS = 20_000

const count = z.int().min(0)
const reference = z.string().max(512).describe('`[host/]name[:tag][@digest]`')

const reportSchema = z.strictObject({
  complete: z.boolean().describe('False when the time was over before all was looked at; ask again to go on.'),
  scanned: count.describe('Blobs that were looked at.'),
  unlinked: count.describe('Times that a repository showed a blob that no manifest of it names.'),
  blobs: count.describe('Blobs removed.'),
  partials: count.describe('Unfinished downloads removed.'),
  bytes: count.describe('Length of what was removed.'),
  rows: count.describe('Rows of metadata of what is not here any more.'),
  spared: count.describe('Garbage that was spared, since it was used not long ago.')
}) satisfies z.ZodType<GarbageReport>

const pinSchema = z.strictObject({
  reference: z.string().describe('As it was asked for.'),
  repository: z.string(),
  digest: z.string().refine(isDigest).meta({ pattern: DIGEST_PATTERN }).describe('Of the manifest.'),
  at: z.iso.datetime()
})

/** An image that stays in a node. */
export type PinnedImage = z.output<typeof pinSchema>

/** Looking after the store: garbage and pins. */
export function storeActions({
  garbage,
  pins
}: {
  readonly garbage: Pick<Garbage, 'collect'>
  readonly pins: Pick<ImagePins, 'add' | 'remove' | 'list'>
}): AdminAction[] {
  return [
    adminAction({
      method: 'POST',
      path: 'gc',
      summary: 'Removes what no manifest names',
      input: z.strictObject({ dryRun: z.boolean().default(false).describe('Only tells what would be removed.') }),
      output: reportSchema,
      run: async ({ dryRun }, signal) => {
        try {
          return await garbage.collect({ dryRun, signal: AbortSignal.any([signal, AbortSignal.timeout(COLLECT_MS)]) })
        } catch (error) {
          if (isContentError(error, 'BUSY')) throw new AdminError(409, error.code, error.message)
          throw error
        }
      }
    }),
    adminAction({
      method: 'GET',
      path: 'pins',
      summary: 'The images that stay here whatever space is needed',
      input: z.strictObject({}),
      output: z.array(pinSchema),
      run: async () => (await pins.list()).map(shown)
    }),
    adminAction({
      method: 'POST',
      path: 'pins',
      summary: 'Keeps an image here: its manifest, and all that it names once it is here',
      input: z.strictObject({ reference }),
      output: pinSchema,
      run: async ({ reference: text }, signal) => shown(await pins.add(parseImageReference(text), text, signal))
    }),
    adminAction({
      method: 'DELETE',
      path: 'pins',
      summary: 'Keeps an image no more: those pinned by this reference, or of this digest',
      input: z.strictObject({ reference }),
      output: z.strictObject({ removed: count }),
      run: async ({ reference: text }) => {
        const removed = await pins.remove(parseImageReference(text), text)
        if (removed > 0) return { removed }
        throw new AdminError(404, 'NOT_FOUND', `${text} is not pinned here`)
      }
    })
  ]
}

function shown({ at, ...pin }: Pin): PinnedImage {
  return { ...pin, at: new Date(at).toISOString() }
}
