import { OciError, parseRepository } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { createAskSeed } from './ask-seed.ts'

const REQUEST = { authorization: 'Basic eA==', address: '192.0.2.1' }
const signal = AbortSignal.timeout(60_000)

interface Options {
  readonly connected?: readonly string[]
  readonly scopes?: readonly string[]
  readonly isSeed?: boolean
}

/** Seeds that answer with a token, or fail; each may sign for repositories that begin with its name. */
function ask(answers: Readonly<Record<string, string | Error>>, options: Options = {}) {
  const { connected = Object.keys(answers), scopes = [], isSeed = false } = options
  const asked: string[] = []
  const client = {
    authenticate: async (peerId: string) => {
      asked.push(peerId)
      const answer = answers[peerId]
      if (typeof answer === 'string') return answer
      throw answer
    }
  }
  const askSeed = createAskSeed({
    peerId: 'self',
    isSeed,
    client,
    trust: {
      signers: () => ['self', ...Object.keys(answers)],
      maySign: (peerId, repository) => repository.startsWith(`${peerId}/`)
    },
    connected: () => connected,
    repositoryOf: parseRepository
  })
  return { asked, answer: askSeed({ ...REQUEST, scopes }, signal) }
}

it('asks a trusted peer that is connected, and not itself', async () => {
  const { asked, answer } = ask({ a: 'token a', b: 'token b' }, { connected: ['self', 'b', 'stranger'] })
  expect([await answer, asked]).toEqual(['token b', ['b']])
})

it('knows nothing when none is connected', async () => {
  const { asked, answer } = ask({ a: 'token' }, { connected: ['stranger'] })
  expect([await answer, asked]).toEqual([undefined, []])
})

it('asks another one when the first does not answer, or makes no tokens', async () => {
  for (const failure of [
    new Error('unreachable'),
    new OciError('UNSUPPORTED', 'none'),
    new OciError('UNAVAILABLE', '')
  ]) {
    const { asked, answer } = ask({ a: failure, b: 'token b' })
    expect([await answer, asked]).toEqual(['token b', ['a', 'b']])
  }
})

it('asks no third', async () => {
  const lost = new Error('unreachable')
  const { asked, answer } = ask({ a: lost, b: lost, c: 'token c' })
  expect([await answer, asked]).toEqual([undefined, ['a', 'b']])
})

it('takes the word of a seed that refuses', async () => {
  for (const code of ['UNAUTHORIZED', 'TOOMANYREQUESTS'] as const) {
    const { asked, answer } = ask({ a: new OciError(code, 'no'), b: 'token b' })
    await expect(answer).rejects.toMatchObject({ code })
    expect(asked).toEqual(['a'])
  }
})

it('asks first who may sign for what the client wants to change', async () => {
  const { asked, answer } = ask(
    { a: new Error('unreachable'), b: new Error('unreachable'), c: 'token c' },
    { scopes: ['repository:a/base:pull', 'repository:c/app:pull,push'] }
  )
  expect([await answer, asked]).toEqual(['token c', ['c']])
})

it('asks, from a seed, only for what it may not sign for itself', async () => {
  const askSeed = async (...scopes: string[]) => {
    const { asked, answer } = ask({ a: 'token a', b: 'token b' }, { scopes, isSeed: true })
    await answer
    return asked
  }
  expect(await askSeed('repository:b/app:pull,push')).toEqual(['b'])
  expect(await askSeed('repository:b/app:pull')).toEqual([])
  expect(await askSeed('repository:self/app:pull,push')).toEqual([])
  expect(await askSeed('repository:nobody/app:pull,push')).toEqual([])
  expect(await askSeed('offline_access')).toEqual([])
})
