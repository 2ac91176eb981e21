import { PassThrough } from 'node:stream'
import { expect, it } from 'vitest'
import { readSecret } from './read-secret.ts'

function input(isTTY: boolean) {
  return Object.assign(new PassThrough(), { isTTY, setRawMode: () => {} })
}

it('takes the first line that is piped in, whatever its end', async () => {
  for (const text of ['p:ä ssword', 'p:ä ssword\n', 'p:ä ssword\r\nmore\n', 'p:ä ssword\nmore']) {
    const from = input(false)
    from.end(text)
    expect(await readSecret(from, 'password: ', () => expect.unreachable())).toBe('p:ä ssword')
  }
})

it('takes nothing for nothing', async () => {
  const from = input(false)
  from.end()
  expect(await readSecret(from, '', () => {})).toBe('')
})

it('asks a person, and never shows what is typed', async () => {
  const from = input(true)
  let shown = ''
  const read = readSecret(from, 'password: ', (text) => {
    shown += text
  })
  from.write('secrex\x7ft\r')
  expect(await read).toBe('secret')
  expect(shown).toBe('password: \n')
})

it('gives up when a person does', async () => {
  const from = input(true)
  const read = readSecret(from, 'password: ', () => {})
  from.write('sec\x03')
  await expect(read).rejects.toThrow('nothing was typed')
})
