import { z } from 'zod'
import { duration, path, positiveDuration, shaped } from './shapes.ts'
import { parseRate, parseShare, parseSpace } from './units.ts'

const space = shaped(
  'a size such as 64MiB, or a share of the disk such as 80%',
  (text) => parseSpace(text) !== undefined
)
const share = shaped('a share such as 95%', (text) => parseShare(text) !== undefined)

export const store = z.strictObject({
  maxSize: space
    .optional()
    .describe(
      'What content may take up, as a size or as a share of the disk; without it, as much as `keepFree` and `minFree` leave. What was not used for longest makes room. Own repositories on a seed, and pinned images, stay.'
    ),
  minFree: space
    .default('64MiB')
    .describe('Disk space that is always left free, as a size or as a share of the disk: nothing is written into it.'),
  keepFree: space
    .default('10%')
    .describe(
      'Disk space that content gives way to, whoever uses the disk: with less free, content that is not in use and need not stay here is removed, and what is pulled stays no longer than it is in use. 0B ends that. The kubelet removes images at 85 % of the disk, and evicts pods with less than 15 % free.'
    ),
  highWatermark: share.default('95%').describe('Share of `maxSize` above which room is made.'),
  lowWatermark: share.default('85%').describe('Share of `maxSize` down to which room is made.'),
  lease: positiveDuration
    .default('5m')
    .describe('How long content stays at least that was used, or that a client was told to be here.'),
  containerd: path
    .optional()
    .describe(
      'Content store of the containerd of this host, usually /var/lib/containerd/io.containerd.content.v1.content: what it has is given to other nodes without a copy. It is only read. Every member of the mesh may then have what it has, by digest, private images too.'
    ),
  garbage: z
    .strictObject({
      every: duration.default('6h').describe('How often garbage is collected; 0s is only when asked to.'),
      grace: positiveDuration
        .default('2h')
        .describe('Content that was pushed or used within so long is no garbage, whether or not a manifest names it.'),
      unfinishedAfter: positiveDuration
        .default('24h')
        .describe('A download that broke off and that nobody went on with for so long is garbage.')
    })
    .prefault({})
    .describe('Removing what no manifest names.'),
  verify: z
    .strictObject({
      every: duration
        .default('0s')
        .describe('How often all content is read again, counted from the start; 0s is only when asked to.'),
      rate: shaped('a rate such as 32MiB/s', (text) => (parseRate(text) ?? 0) > 0)
        .default('64MiB/s')
        .describe('How much of it is read in a second.')
    })
    .prefault({})
    .describe('Comparing content with its digests, and fetching anew what the disk does not give back.')
})
