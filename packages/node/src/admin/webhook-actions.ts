import type { Attempt, DeadLetter, EndpointState, TestResult, Webhooks } from '@layermesh/webhooks'
import { FORMATS, isWebhookError } from '@layermesh/webhooks/basics'
import { z } from 'zod'
import { type AdminAction, adminAction } from './action.ts'
import { AdminError } from './errors.ts'

type Shape<T> = z.ZodType<T, unknown>

const time = z.iso.datetime()
const name = z.string().max(63).describe('Name of the webhook.')
const status = z.exactOptional(z.int()).describe('HTTP status of the answer.')

const attemptSchema = z.strictObject({
  id: z.string(),
  event: z.string(),
  at: time,
  durationMs: z.number(),
  status,
  error: z.exactOptional(z.string())
}) satisfies Shape<Attempt>

const deadLetterSchema = z.strictObject({
  id: z.string(),
  type: z.string(),
  subject: z.exactOptional(z.string()),
  time,
  attempts: z.int(),
  lastError: z.exactOptional(z.string()),
  diedAt: z.exactOptional(time)
}) satisfies Shape<DeadLetter>

const stateSchema = z.strictObject({
  name,
  origin: z.string().describe('Scheme, host and port of the receiver.'),
  format: z.enum(FORMATS),
  state: z.enum(['idle', 'delivering', 'failing']),
  pending: z.int().describe('Events that wait.'),
  pendingBytes: z.int(),
  dead: z.int().describe('Events that were given up and can be delivered again.'),
  lastError: z.exactOptional(z.string()).describe('Why the last attempt failed.'),
  nextAttemptAt: z.exactOptional(time),
  attempts: z.array(attemptSchema).readonly().describe('The last ones since the node started, newest first.'),
  deadLetters: z.array(deadLetterSchema).readonly().describe('The events given up last, newest first.')
}) satisfies Shape<EndpointState>

const testSchema = z.strictObject({
  delivered: z.boolean(),
  status,
  error: z.exactOptional(z.string()),
  durationMs: z.number()
}) satisfies Shape<TestResult>

const redeliverSchema = z.strictObject({
  name,
  id: z.exactOptional(z.string().max(64)).describe('The event; without it all that were given up.')
})

/** How webhooks are looked at, tested, and told to deliver again. */
export function webhookActions(webhooks: Webhooks | undefined): readonly AdminAction[] {
  return [
    adminAction({
      method: 'GET',
      path: 'webhooks',
      summary: 'The webhooks, and how they are doing',
      input: z.strictObject({}),
      output: z.strictObject({ webhooks: z.array(stateSchema).readonly() }),
      run: async () => ({ webhooks: (await webhooks?.list()) ?? [] })
    }),
    adminAction({
      method: 'POST',
      path: 'webhooks/redeliver',
      summary: 'Delivers events again that were given up',
      input: redeliverSchema,
      output: z.strictObject({ events: z.int().describe('How many are delivered again.') }),
      run: ({ name, id }) =>
        orNotFound(async () => ({
          events: await configured(webhooks).redeliver(name, id === undefined ? 'dead' : { id })
        }))
    }),
    adminAction({
      method: 'POST',
      path: 'webhooks/test',
      summary: 'Sends a ping by a webhook',
      input: z.strictObject({ name }),
      output: testSchema,
      run: ({ name }, signal) => orNotFound(() => configured(webhooks).test(name, signal))
    })
  ]
}

function configured(webhooks: Webhooks | undefined): Webhooks {
  if (webhooks !== undefined) return webhooks
  throw new AdminError(404, 'NOT_FOUND', 'no webhooks are configured on this node')
}

async function orNotFound<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw isWebhookError(error, 'NOT_FOUND') ? new AdminError(404, error.code, error.message) : error
  }
}
