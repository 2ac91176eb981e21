import { EventPattern, FORMATS } from '@layermesh/webhooks/basics'
import { z } from 'zod'
import { count, path, positiveDuration, repositories, shaped, size, succeeds } from './shapes.ts'
import { parseSize } from './units.ts'

const WEBHOOK_NAME = /^[a-z0-9](?:[a-z0-9-]{0,62})$/
const MIN_AUDIT_BYTES = 64 * 1024

const webhookName = shaped('a name of up to 63 small letters, digits and dashes', (text) => WEBHOOK_NAME.test(text))
const webhookUrl = shaped('an http: or https: URL without credentials and fragment', isWebhookUrl)
const eventPattern = shaped(
  'an event or a pattern such as manifest.pushed, tag.* or * (packages/webhooks/EVENTS.md)',
  succeeds((text) => new EventPattern(text))
)

/** All but pulls, of which there are many. */
const CHANGES = ['*.pushed', '*.mounted', '*.deleted', 'tag.*', 'image.*', 'peer.*']

export const webhooks = z
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
      maxAttempts: count(1_000)
        .default(20)
        .describe(
          'Times that the receiver may refuse an event before it is given up; while it is away, only 72 h count.'
        )
    })
  )
  .max(50, { error: 'expected no more than 50' })
  .default([])
  .describe('Receivers of events.')

export const audit = z.strictObject({
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

function isWebhookUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, username, password, hash } = new URL(text)
  return (protocol === 'https:' || protocol === 'http:') && username + password + hash === ''
}
