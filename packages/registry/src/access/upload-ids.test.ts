import type { Repository } from '@layermesh/oci'
import { expect, it } from 'vitest'
import type { Caller } from '../interfaces.ts'
import { Seal } from './seal.ts'
import { UploadIds } from './upload-ids.ts'

const ONE = 'team/one' as Repository
const TWO = 'team/two' as Repository
const who = (name: string | undefined): Caller => ({ name, credential: undefined, may: () => true })
const ids = new UploadIds(new Seal(Buffer.alloc(32, 1)))

it('means a session to whoever was told of it, in its repository', () => {
  const told = ids.toClient(ONE, who('alice'), 'a-b_c')
  expect(ids.fromClient(ONE, who('alice'), told)).toBe('a-b_c')
  expect(ids.fromClient(ONE, who('bob'), told)).toBeUndefined()
  expect(ids.fromClient(ONE, who(undefined), told)).toBeUndefined()
  expect(ids.fromClient(TWO, who('alice'), told)).toBeUndefined()
})

it.each(['', '-', 'a', 'a-b_c', '-0123456789abcdef0123456789abcdef'])('means none when it is %j', (told) => {
  expect(ids.fromClient(ONE, who('alice'), told)).toBeUndefined()
})

it('fits in a path', () => {
  expect(ids.toClient(ONE, who('alice'), 'a'.repeat(36))).toMatch(/^[A-Za-z0-9_-]{1,128}$/)
})
