import type { NoticeOutcome } from '@layermesh/mesh'
import { formatSeedSet, isTrustError, openSeedSet, parseSeedSet } from '@layermesh/trust'
import { z } from 'zod'
import { SEED_SET_KIND, type SeedSets } from '../seed-set/seed-sets.ts'
import { type AdminAction, adminAction } from './action.ts'
import { AdminError } from './errors.ts'

const seedSetSchema = z.strictObject({
  root: z.string().describe('Peer id of the key that signs sets.'),
  envelope: z.string().describe('The signed set, as `layermesh seeds sign` writes it.'),
  trusted: z
    .boolean()
    .describe('False when it came here only after it had expired, so that it revokes but makes nobody trusted.')
})

/** The seed set that counts at a node. */
export type PublishedSeedSet = z.output<typeof seedSetSchema>

export interface SeedActionsComponents {
  /** Undefined when no root is configured. */
  readonly seedSets: Pick<SeedSets, 'root' | 'current'> | undefined
  readonly board: { offer(kind: string, envelope: Uint8Array, from: string): Promise<NoticeOutcome> }
}

/** Showing the seed set, and publishing another one. */
export function seedActions({ seedSets, board }: SeedActionsComponents): AdminAction[] {
  return [
    adminAction({
      method: 'GET',
      path: 'seeds',
      summary: 'The seed set that counts here',
      input: z.strictObject({}),
      output: seedSetSchema,
      run: async () => {
        const { root, current } = requireRoot(seedSets)
        if (!current) throw new AdminError(404, 'NO_SEED_SET', `no seed set of ${root} came to this node yet`)
        return { root, envelope: formatSeedSet(current.envelope), trusted: current.grants }
      }
    }),
    adminAction({
      method: 'POST',
      path: 'seeds',
      summary: 'Publishes a seed set: this node goes by it, and tells all others',
      input: z.strictObject({ envelope: z.string().max(15_100).describe('As `layermesh seeds sign` writes it.') }),
      output: z.strictObject({ sequence: z.int(), outcome: z.enum(['new', 'known']) }),
      run: async ({ envelope: text }) => {
        const sets = requireRoot(seedSets)
        const { envelope, sequence } = await read(text, sets.root)
        const outcome = await board.offer(SEED_SET_KIND, envelope, 'admin')
        const here = sets.current
        if (outcome === 'new') return { sequence, outcome }
        if (here && Buffer.compare(here.envelope, envelope) === 0) return { sequence, outcome: 'known' as const }
        throw refusal(outcome, sequence, here?.set.sequence)
      }
    })
  ]
}

function requireRoot(seedSets: SeedActionsComponents['seedSets']): Pick<SeedSets, 'root' | 'current'> {
  if (seedSets) return seedSets
  throw new AdminError(
    409,
    'NO_ROOT',
    'this node goes by no seed set: seedSet.root in its configuration has to name the root'
  )
}

async function read(text: string, root: string): Promise<{ envelope: Uint8Array; sequence: number }> {
  try {
    const envelope = parseSeedSet(text)
    const { set } = await openSeedSet(envelope, (signer) => signer === root)
    return { envelope, sequence: set.sequence }
  } catch (error) {
    if (isTrustError(error, 'SIGNER_NOT_TRUSTED')) {
      throw new AdminError(403, error.code, `the set was not signed by ${root}, which this node goes by`)
    }
    if (isTrustError(error)) throw new AdminError(400, error.code, error.message)
    throw error
  }
}

function refusal(outcome: NoticeOutcome, sequence: number, known: number | undefined): AdminError {
  if (outcome === 'known') {
    const message = `a set of sequence ${known} counts here already, this one has ${sequence}; sign one with --previous FILE, which \`layermesh seeds show --out FILE\` writes`
    return new AdminError(409, 'SEED_SET_OLD', message)
  }
  return new AdminError(
    409,
    'SEED_SET_REFUSED',
    'the set was signed in the future, by the clock of this node; see which clock is wrong'
  )
}
