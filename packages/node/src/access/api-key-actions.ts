import { newApiKey, REPOSITORY_ACTIONS } from '@layermesh/access/basics'
import { type ApiKey, isTrustError, RepositoryPattern } from '@layermesh/trust'
import { z } from 'zod'
import { type AdminAction, adminAction } from '../admin/action.ts'
import { AdminError } from '../admin/errors.ts'
import type { RosterAuthority } from '../roster/roster-authority.ts'
import type { Rosters } from '../roster/rosters.ts'

const MINUTE_MS = 60_000
const YEAR_MS = 366 * 24 * 60 * MINUTE_MS

const line = (maxLength: number) =>
  z
    .string()
    .max(maxLength)
    .regex(/^[^\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]*$/u, { error: 'expected a line of text' })
const time = z.iso.datetime()
const id = z.string().regex(/^[A-Za-z0-9]{1,64}$/, { error: 'expected the id of a key, as the list shows it' })
const action = z.enum(REPOSITORY_ACTIONS)

const scopeSchema = z.strictObject({
  repositories: z.string().refine(isPattern, { error: 'expected a pattern such as team/** or docker.io/library/*' }),
  actions: z
    .array(action)
    .min(1)
    .transform((actions) => REPOSITORY_ACTIONS.filter((known) => actions.includes(known)))
})

const newKeySchema = z.strictObject({
  user: line(256).min(1).describe('Whose it is; it can do no more than the rules give this user.'),
  name: line(128).default('').describe('What it is for.'),
  scopes: z.array(scopeSchema).min(1).max(16).describe('What it can be used for at most.'),
  lifetimeMs: z.int().min(MINUTE_MS).max(YEAR_MS).describe('How long it holds.')
})

const summarySchema = z.strictObject({
  id,
  name: z.string(),
  user: z.string(),
  scopes: z.array(z.strictObject({ repositories: z.string(), actions: z.array(action) })),
  createdAt: time,
  expiresAt: time,
  seed: z.string().describe('Peer id of the seed that gave it out.')
})

/** An API key as it is listed; what proves it is not kept. */
export type ApiKeySummary = z.output<typeof summarySchema>

export interface ApiKeyActionsComponents {
  readonly peerId: string
  readonly rosters: Pick<Rosters, 'keys'>
  /** Undefined on a node that is no seed, which can only list keys. */
  readonly authority: Pick<RosterAuthority, 'addKey' | 'revokeKey'> | undefined
  /** Milliseconds since 1970. */
  now(): number
}

/** How API keys are made, listed and revoked. */
export function apiKeyActions({ peerId, rosters, authority, now }: ApiKeyActionsComponents): readonly AdminAction[] {
  return [
    adminAction({
      method: 'GET',
      path: 'keys',
      summary: 'The API keys that are valid now',
      input: z.strictObject({}),
      output: z.strictObject({ keys: z.array(summarySchema) }),
      run: async () => ({ keys: rosters.keys().map(({ key, signer }) => summaryOf(key, signer)) })
    }),
    adminAction({
      method: 'POST',
      path: 'keys',
      summary: 'Makes an API key',
      input: newKeySchema,
      output: z.strictObject({
        key: z.string().describe('The key itself; it is shown this once.'),
        ...summarySchema.shape
      }),
      run: async ({ lifetimeMs, ...given }) => {
        const { text, ...made } = newApiKey()
        const createdAt = now()
        const key: ApiKey = { ...given, ...made, createdAt, expiresAt: createdAt + lifetimeMs }
        await seedOnly(authority).addKey(key)
        return { key: text, ...summaryOf(key, peerId) }
      }
    }),
    adminAction({
      method: 'DELETE',
      path: 'keys',
      summary: 'Revokes an API key, on all nodes',
      input: z.strictObject({ id }),
      output: z.strictObject({ id }),
      run: async (given) => {
        await seedOnly(authority).revokeKey(given.id)
        return given
      }
    })
  ]
}

function seedOnly<T>(authority: T | undefined): T {
  if (authority !== undefined) return authority
  throw new AdminError(409, 'NOT_A_SEED', 'API keys are made and revoked at a seed; ask one')
}

function summaryOf({ id, name, user, scopes, createdAt, expiresAt }: ApiKey, seed: string): ApiKeySummary {
  return {
    id,
    name,
    user,
    scopes: scopes.map(({ repositories, actions }) => ({ repositories, actions: [...actions] })),
    createdAt: new Date(createdAt).toISOString(),
    expiresAt: new Date(expiresAt).toISOString(),
    seed
  }
}

function isPattern(text: string): boolean {
  try {
    new RepositoryPattern(text)
    return true
  } catch (error) {
    if (isTrustError(error)) return false
    throw error
  }
}
