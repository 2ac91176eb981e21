import { OciError } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { LIMITS } from '../limits.ts'
import { MeshFixture, silentTags } from '../testing/mesh-fixture.ts'

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
    node.mesh.tags.authenticate(seed.mesh.peerId, { ...request, address }, AbortSignal.timeout(5_000))

  expect(await ask('10.0.0.9')).toBe('a.b.c')
  expect(seen).toEqual([[node.mesh.peerId, request]])
  await expect(ask('wrong')).rejects.toMatchObject({ code: 'UNAUTHORIZED', message: 'no such user' })

  const answers = await Promise.allSettled(Array.from({ length: 2 * LIMITS.authenticateBurst }, () => ask('1')))
  expect(answers.some(({ status }) => status === 'rejected')).toBe(true)
  expect(seen.length).toBeLessThan(2 * LIMITS.authenticateBurst)
})
