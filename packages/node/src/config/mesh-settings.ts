import { z } from 'zod'
import { count, duration, joinAddress, multiaddr, path, peerId, repositories } from './shapes.ts'

const ADMISSIONS = ['secret', 'ticket', 'either'] as const
const PREFETCH_FROM = ['seeds', 'members', 'none'] as const

export const mesh = z.strictObject({
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
  maxPeers: count(100_000).default(300).describe('Connections to other nodes at one time.'),
  prefetchFrom: z
    .enum(PREFETCH_FROM)
    .default('seeds')
    .describe('Whose nodes may have this one fetch images, as `layermesh prefetch` does.')
})

export const trust = z
  .array(
    z.strictObject({
      peerId: peerId.describe('The signer.'),
      repositories: z
        .array(repositories)
        .min(1, { error: 'expected at least one pattern' })
        .optional()
        .describe(
          'Patterns of what it may sign for; ** is all of the mesh’s own repositories and none that is mirrored. Without them: all of the mesh’s own, and all that is mirrored from other registries.'
        )
    })
  )
  .default([])
  .describe('Who may sign what a tag means. A seed always trusts itself.')

export const seedSet = z.strictObject({
  root: peerId
    .optional()
    .describe(
      'Peer id of an offline key; the seeds that a set names which it signed are trusted as if `trust` named them.'
    ),
  file: path
    .optional()
    .describe('A set to begin with, as `layermesh seeds sign` writes it; nodes get newer ones from each other.')
})

export const freshness = z
  .array(
    z.strictObject({
      repositories,
      maxAge: duration
        .default('10s')
        .describe(
          'Age up to which a tag is answered without asking the seed, and a mirrored one by the seed without asking its registry.'
        ),
      maxStale: duration.default('24h').describe('Age up to which it is answered while no seed can be reached.')
    })
  )
  .default([])
  .describe(
    'How old a tag may be, by repository; the first pattern that fits counts. Without one it is as below, but 30s for maxAge of what is mirrored.'
  )
