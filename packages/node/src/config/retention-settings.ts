import { z } from 'zod'
import { isTagPattern } from '../tags/tag-pattern.ts'
import { count, duration, positiveDuration, repositories, shaped } from './shapes.ts'

const rule = z
  .strictObject({
    repositories: repositories.describe(
      'Pattern of the mesh’s own repositories; what is mirrored is no matter of this.'
    ),
    tags: shaped('a pattern of tags such as v* or *', isTagPattern)
      .default('*')
      .describe('A tag in which * stands for any characters.'),
    keepLast: count(1_000_000).optional().describe('Keeps so many of the tags that fit: those that were changed last.'),
    keepYoungerThan: positiveDuration.optional().describe('Keeps tags that were changed within so long.'),
    untagged: z
      .strictObject({
        olderThan: positiveDuration.describe('Longer than any push takes: its manifests come before its tags.')
      })
      .optional()
      .describe(
        'Removes manifests that are older, that no tag means, and that no index, subject or referrer which stays needs.'
      )
  })
  .refine(({ keepLast, keepYoungerThan, untagged }) => (keepLast ?? keepYoungerThan ?? untagged) !== undefined, {
    error: 'expected at least one of keepLast, keepYoungerThan and untagged'
  })

export const retention = z.strictObject({
  every: duration.default('6h').describe('How often it runs; 0s is only when asked to.'),
  rules: z
    .array(rule)
    .max(1_000, { error: 'expected no more than 1000' })
    .default([])
    .describe(
      'Tags that a rule fits and none keeps are removed. Tags that no rule fits stay, and so do immutable ones.'
    )
})
