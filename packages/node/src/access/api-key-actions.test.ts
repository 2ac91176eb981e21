import { createHash } from 'node:crypto'
import type { ApiKey } from '@layermesh/trust'
import { beforeEach, expect, it } from 'vitest'
import { apiKeyActions } from './api-key-actions.ts'

const NOW = Date.parse('2026-11-26T04:00:00Z')
const GOOD = {
  user: 'ci',
  scopes: [{ repositories: 'team/**', actions: ['create', 'pull', 'pull'] }],
  lifetimeMs: 3_600_000
}
const signal = AbortSignal.timeout(60_000)

let keys: ApiKey[]
beforeEach(() => {
  keys = []
})

function action(method: string, isSeed = true) {
  const authority = {
    addKey: async (key: ApiKey) => void keys.push(key),
    revokeKey: async (id: string) => {
      keys = keys.filter((key) => key.id !== id)
    }
  }
  const actions = apiKeyActions({
    peerId: 'seed',
    rosters: { keys: () => keys.map((key) => ({ key, signer: 'seed' })) },
    authority: isSeed ? authority : undefined,
    now: () => NOW
  })
  const found = actions.find((one) => one.method === method)
  if (found === undefined) throw new Error(`there is no ${method}`)
  return found
}

async function run(method: string, input: unknown, isSeed?: boolean): Promise<Record<string, unknown>> {
  const { input: schema, output, run: act } = action(method, isSeed)
  return output.parse(await act(schema.parse(input), signal)) as Record<string, unknown>
}

it('makes a key, shows it once, and keeps only a hash of its secret', async () => {
  const { key, ...summary } = await run('POST', GOOD)
  expect(summary).toEqual({
    id: keys[0]?.id,
    name: '',
    user: 'ci',
    scopes: [{ repositories: 'team/**', actions: ['pull', 'create'] }],
    createdAt: '2026-11-26T04:00:00.000Z',
    expiresAt: '2026-11-26T05:00:00.000Z',
    seed: 'seed'
  })
  const [, id, secret = ''] = /^lmk_([0-9a-f]+)_(.+)$/.exec(String(key)) ?? []
  expect(keys[0]?.id).toBe(id)
  expect(Buffer.from(keys[0]?.hash ?? [])).toEqual(
    createHash('sha256').update(Buffer.from(secret, 'base64url')).digest()
  )
  const listed = await run('GET', {})
  expect(listed).toEqual({ keys: [summary] })
  expect(JSON.stringify(listed)).not.toContain(secret)
})

it('revokes a key', async () => {
  await run('POST', GOOD)
  const id = keys[0]?.id
  expect(await run('DELETE', { id })).toEqual({ id })
  expect(keys).toEqual([])
})

it.each([
  ['no user', { user: '' }],
  ['a user with a line end', { user: 'a\nb' }],
  ['a name without end', { name: 'a'.repeat(129) }],
  ['no scope', { scopes: [] }],
  ['too many scopes', { scopes: Array(17).fill(GOOD.scopes[0]) }],
  ['no action', { scopes: [{ repositories: 'a', actions: [] }] }],
  ['an action that there is not', { scopes: [{ repositories: 'a', actions: ['push'] }] }],
  ['no pattern', { scopes: [{ repositories: 'a**', actions: ['pull'] }] }],
  ['an end without end', { lifetimeMs: 367 * 86_400_000 }],
  ['no time at all', { lifetimeMs: 0 }],
  ['a field that there is not', { admin: true }]
])('makes none with %s', async (_, change) => {
  expect(action('POST').input.safeParse({ ...GOOD, ...change }).success).toBe(false)
})

it('makes and revokes them at seeds only', async () => {
  for (const [method, input] of [
    ['POST', GOOD],
    ['DELETE', { id: 'a' }]
  ] as const) {
    await expect(run(method, input, false)).rejects.toMatchObject({ status: 409, code: 'NOT_A_SEED' })
  }
  expect(await run('GET', {}, false)).toEqual({ keys: [] })
})
