import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Remembered } from './remembered.ts'

interface Value {
  readonly n: number
}
const isValue = (value: unknown): value is Value => typeof (value as Partial<Value> | null)?.n === 'number'

let directory: string
let failures: unknown[]
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layermesh-remembered-'))
  failures = []
})
afterEach(() => rm(directory, { recursive: true }))

const path = () => join(directory, 'it.json')
const open = (max = 10, file = path()) =>
  Remembered.open(file, isValue, (error) => failures.push(error), { max, writeAfterMs: 60_000 })

describe('what is remembered', () => {
  it('is there again after a restart, readable by nobody else', async () => {
    const first = await open()
    first.set('a', { n: 1 })
    first.set('b', { n: 2 })
    first.delete('a')
    await first.close()
    const again = await open()
    expect([again.get('a'), again.get('b')]).toEqual([undefined, { n: 2 }])
    expect((await stat(path())).mode & 0o777).toBe(0o600)
  })

  it('has a bound, beyond which that goes that was not used for the longest, also over a restart', async () => {
    const first = await open(2)
    first.set('a', { n: 1 })
    first.set('b', { n: 2 })
    first.get('a')
    await first.close()
    const again = await open(2)
    again.set('c', { n: 3 })
    expect([again.get('a'), again.get('b'), again.get('c')]).toEqual([{ n: 1 }, undefined, { n: 3 }])
    await again.close()
  })

  it.each([['no JSON'], ['{}'], ['[["a",{"n":"x"}],["b"],7,null,[1,{"n":1}]]']])(
    'is nothing of what can not be used in the file: %s',
    async (text) => {
      await writeFile(path(), text)
      const remembered = await open()
      expect(remembered.get('a')).toBeUndefined()
      remembered.set('c', { n: 3 })
      await remembered.close()
      expect(JSON.parse(await readFile(path(), 'utf8'))).toEqual([['c', { n: 3 }]])
    }
  )

  it('is told of when it can not be written, and goes on', async () => {
    const remembered = await open(10, join(directory, 'nowhere', 'it.json'))
    remembered.set('a', { n: 1 })
    await remembered.close()
    expect([failures.length, remembered.get('a')]).toEqual([1, { n: 1 }])
  })
})
