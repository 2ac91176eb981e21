import { OciError } from '@layermesh/oci'
import { expect, it, onTestFinished, vi } from 'vitest'
import { LIMITS } from '../limits.ts'
import { MeshFixture, silentTags } from '../testing/mesh-fixture.ts'
import { TagProtocolClient } from './tag-protocol.ts'

const request = { authorization: 'Basic YTpi', scopes: ['repository:team/app:push'], address: '10.0.0.9' }

it('brings a token from a seed, or its refusal, and no more tokens than a peer may have', async () => {
  await using fixture = new MeshFixture()
  const seen: unknown[] = []
  const authenticate = async (from: string, asked: typeof request) => {
    seen.push([from, asked])
    if (asked.address === 'wrong') throw new OciError('UNAUTHORIZED', 'no such user')
    return 'a.b.c'
  }
  const seed = await fixture.node({ tagHandler: { ...silentTags, authenticate } })
  const node = await fixture.node({ join: seed.mesh.addresses })
  const ask = (address: string) =>
    node.mesh.tags.authenticate(seed.mesh.peerId, { ...request, address }, AbortSignal.timeout(60_000))

  expect(await ask('10.0.0.9')).toBe('a.b.c')
  expect(seen).toEqual([[node.mesh.peerId, request]])
  await expect(ask('wrong')).rejects.toMatchObject({ code: 'UNAUTHORIZED', message: 'no such user' })

  // However slow this machine is, no more are allowed meanwhile.
  const clock = vi.spyOn(performance, 'now').mockReturnValue(performance.now())
  onTestFinished(() => clock.mockRestore())
  const refusals: unknown[] = []
  while (refusals.length === 0) {
    const answers = await Promise.allSettled(Array.from({ length: LIMITS.authenticateBurst / 2 }, () => ask('1')))
    for (const answer of answers) if (answer.status === 'rejected') refusals.push(answer.reason)
  }
  expect(refusals[0]).toMatchObject({ code: 'TOOMANYREQUESTS' })
})

it('asks no peer so much that it would be shut out, whatever clients want', async () => {
  let asked = 0
  const host = {
    dialProtocol: async () => {
      asked++
      throw new Error('nobody is there')
    }
  }
  const client = new TagProtocolClient(host as never)
  const signal = new AbortController().signal
  const ask = () =>
    client.listRepositories('12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp', { limit: 1 }, signal)
  const answers = await Promise.allSettled(Array.from({ length: LIMITS.tagBurst }, ask))
  expect(answers.every(({ status }) => status === 'rejected')).toBe(true)
  expect(asked).toBeLessThan(LIMITS.tagBurst)
  expect(asked).toBeGreaterThanOrEqual(LIMITS.tagBurst / 2)
})
