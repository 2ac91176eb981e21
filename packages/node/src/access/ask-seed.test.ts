import { OciError } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { createAskSeed } from './ask-seed.ts'

const REQUEST = { authorization: 'Basic eA==', scopes: [], address: '192.0.2.1' }
const signal = AbortSignal.timeout(60_000)

/** Seeds that answer with a token, or fail. */
function ask(answers: Readonly<Record<string, string | Error>>, connected = Object.keys(answers)) {
  const asked: string[] = []
  const client = {
    authenticate: async (peerId: string) => {
      asked.push(peerId)
      const answer = answers[peerId]
      if (typeof answer === 'string') return answer
      throw answer
    }
  }
  const signers = () => ['self', ...Object.keys(answers)]
  const askSeed = createAskSeed({ peerId: 'self', client, signers, connected: () => connected })
  return { asked, answer: askSeed(REQUEST, signal) }
}

it('asks a trusted peer that is connected, and not itself', async () => {
  const { asked, answer } = ask({ a: 'token a', b: 'token b' }, ['self', 'b', 'stranger'])
  expect([await answer, asked]).toEqual(['token b', ['b']])
})

it('knows nothing when none is connected', async () => {
  const { asked, answer } = ask({ a: 'token' }, ['stranger'])
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
