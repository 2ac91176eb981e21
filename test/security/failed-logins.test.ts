import { readFile } from 'node:fs/promises'
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
const MAX_PAUSE_MS = 2_000

const sandbox = useSandbox()
let mesh: SecuredMesh

beforeAll(async () => {
  mesh = await SecuredMesh.start(sandbox)
})

/** Ticks of the clock that all threads of the seed have used (proc(5), stat: utime and stime). */
async function usedCpu(): Promise<number> {
  const stat = await readFile(`/proc/${mesh.seed.node.process.pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}

async function logIn(user: string, password: string): Promise<number> {
  const headers = { Authorization: basic(user, password) }
  return (await ask(mesh.seed.node, 'GET', '/v2/secret/app/manifests/1', { headers })).status
}

async function costOf(work: () => Promise<void>): Promise<number> {
  const before = await usedCpu()
  await work()
  return (await usedCpu()) - before
}

test('guessing a password costs whoever guesses time, and the registry little', async () => {
  let tried = 0
  const one = await costOf(async () => {
    for (; tried < 8; tried++) expect(await logIn(`nobody-${tried}`, 'guess')).toBe(401)
  })
  const costOfOne = one / tried
  await mesh.seed.usage()
  const statuses = new Map<number, number>()
  const all = await costOf(async () => {
    for (let i = 0; i < ATTEMPTS; i += AT_ONCE) {
      const batch = await Promise.all(Array.from({ length: AT_ONCE }, (_, n) => logIn('alice', `guess ${i + n}`)))
      for (const status of batch) statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
  })
  expect([...statuses.keys()].sort()).toEqual([401, 429])
  expect(statuses.get(401) ?? 0, 'guesses that were looked at').toBeLessThan(MAX_COMPUTED)
  expect(all / costOfOne, `times the cost of one, for ${ATTEMPTS}`).toBeLessThan(ATTEMPTS / 2)
  let looked = 0
  const started = performance.now()
  for (let i = 0; i < ONE_BY_ONE; i++) if ((await logIn('alice', `another guess ${i}`)) === 401) looked++
  const most = 2 + (performance.now() - started) / DELAY_MS
  expect(looked, `guesses of ${ONE_BY_ONE}, one after the other`).toBeLessThan(most)
  const { longestPauseMs } = await mesh.seed.usage()
  expect(longestPauseMs, 'ms in which nothing else was done').toBeLessThan(MAX_PAUSE_MS)
})

test('guesses for one user keep nobody else out, and not the user who knows the password', async () => {
  const guesses = Promise.all(Array.from({ length: 16 }, (_, i) => logIn('bob', `guess ${i}`)))
  expect(await logIn('alice', 'correct horse battery staple')).toBe(200)
  expect(new Set(await guesses)).not.toContain(200)
})

test('an answer does not tell whether there is such a user, in words or in time', async () => {
  const times = async (user: (i: number) => string) => {
    const elapsed: number[] = []
    for (let i = 0; i < 5; i++) {
      const started = performance.now()
      expect(await logIn(user(i), `guess ${Math.random()}`)).toBe(401)
      elapsed.push(performance.now() - started)
    }
    return elapsed.toSorted((a, b) => a - b)[2] ?? 0
  }
  const known = await times(() => 'carol')
  const unknown = await times((i) => `nobody-at-all-${i}`)
  expect(Math.max(known, unknown) / Math.min(known, unknown), `${known} ms and ${unknown} ms`).toBeLessThan(2.5)
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
