import { beforeAll, expect, test } from 'vitest'
import { useSandbox } from '../support/sandbox.ts'
import { ask } from './support/client.ts'
import { basic, SecuredMesh } from './support/secured-mesh.ts'

const ATTEMPTS = 200
const AT_ONCE = 20
const ONE_BY_ONE = 24
/** Of who guessed often, on the loopback; a little less than it is. */
const DELAY_MS = 4_000
/** Of one user from the loopback, before attempts are not computed any more, and some more while delays double. */
const MAX_COMPUTED = 80
/** On a CPU. */
const MAX_TURN_MS = 2_000

const sandbox = useSandbox()
let mesh: SecuredMesh

beforeAll(async () => {
  mesh = await SecuredMesh.start(sandbox)
})

const ROUNDS = 6
/** What is said of a password that a busy machine was too slow to look at in time. */
const BUSY = 503

async function logIn(user: string, password: string): Promise<number> {
  const headers = { Authorization: basic(user, password) }
  return (await ask(mesh.seed.node, 'GET', '/v2/secret/app/manifests/1', { headers })).status
}

/** In ticks of the clock. */
async function costOf(work: () => Promise<void>): Promise<number> {
  const before = await mesh.seed.usedCpu()
  await work()
  return (await mesh.seed.usedCpu()) - before
}

test('guessing a password costs whoever guesses time, and the registry little', async () => {
  let tried = 0
  const one = await costOf(async () => {
    for (; tried < 8; tried++) expect(await logIn(`nobody-${tried}`, 'guess')).toBe(401)
  })
  const costOfOne = one / tried
  await mesh.seed.usage()
  const statuses = new Map<number, number>()
  const begun = performance.now()
  const all = await costOf(async () => {
    for (let i = 0; i < ATTEMPTS; i += AT_ONCE) {
      const batch = await Promise.all(Array.from({ length: AT_ONCE }, (_, n) => logIn('alice', `guess ${i + n}`)))
      for (const status of batch) statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
  })
  // A slow machine gives them time for some more.
  const more = (performance.now() - begun) / DELAY_MS
  const looked = (statuses.get(401) ?? 0) + (statuses.get(BUSY) ?? 0)
  expect([...statuses.keys()].filter((status) => status !== BUSY).sort()).toEqual([401, 429])
  expect(looked, 'guesses that were looked at').toBeLessThan(MAX_COMPUTED + more)
  expect(all / costOfOne, `times the cost of one, for ${ATTEMPTS}`).toBeLessThan(ATTEMPTS / 2 + more)
  let another = 0
  const started = performance.now()
  for (let i = 0; i < ONE_BY_ONE; i++) if ((await logIn('alice', `another guess ${i}`)) !== 429) another++
  const most = 2 + (performance.now() - started) / DELAY_MS
  expect(another, `guesses of ${ONE_BY_ONE}, one after the other`).toBeLessThan(most)
  const { longestTurnMs } = await mesh.seed.usage()
  expect(longestTurnMs, 'ms in which nothing else was done').toBeLessThan(MAX_TURN_MS)
})

test('guesses for one user keep nobody else out, and not the user who knows the password', async () => {
  const guesses = Promise.all(Array.from({ length: 16 }, (_, i) => logIn('bob', `guess ${i}`)))
  let status = BUSY
  while (status === BUSY) status = await logIn('alice', 'correct horse battery staple')
  expect(status).toBe(200)
  expect(new Set(await guesses)).not.toContain(200)
})

test('an answer does not tell whether there is such a user, in words or in time', async () => {
  const ticksFor = async (user: string) => {
    let status = BUSY
    let ticks = 0
    while (status === BUSY) {
      ticks = await costOf(async () => {
        status = await logIn(user, `guess ${Math.random()}`)
      })
    }
    expect(status).toBe(401)
    return ticks
  }
  let [known, unknown] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  for (let i = 0; i < ROUNDS; i++) {
    known = Math.min(known, await ticksFor('carol'))
    unknown = Math.min(unknown, await ticksFor(`nobody-at-all-${i}`))
  }
  // The work that there is for an answer, however long it waits for a CPU, and without what is done beside it.
  const [less, more] = [known, unknown].toSorted((a, b) => a - b) as [number, number]
  expect(more / Math.max(1, less), `${known} and ${unknown} ticks`).toBeLessThan(2.5)
})

test('passwords that are far too long are refused at no cost', async () => {
  for (const length of [73, 10_000, 20_000]) {
    const { status } = await ask(mesh.seed.node, 'GET', '/v2/', {
      headers: { Authorization: basic('mallory', 'x'.repeat(length)) }
    })
    expect(status).toBeOneOf([401, 429])
  }
  mesh.seed.expectAlive()
})
