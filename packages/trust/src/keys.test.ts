import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { generateKeyPair, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KEY_FILE_NAME, loadOrCreateKey, peerIdOf } from './keys.ts'

let parent: string
let directory: string
let keyFile: string

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'layermesh-keys-'))
  directory = join(parent, 'data')
  keyFile = join(directory, KEY_FILE_NAME)
})
afterEach(() => rm(parent, { recursive: true, force: true }))

const refusal = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) })

describe('the key of a node', () => {
  it('is made at the first start and stays', async () => {
    const first = await loadOrCreateKey(directory)
    const second = await loadOrCreateKey(directory)
    expect(first.type).toBe('Ed25519')
    expect(peerIdOf(second)).toBe(peerIdOf(first))
    expect(peerIdOf(first)).toMatch(/^12D3KooW/)
    expect(second.equals(first)).toBe(true)
  })

  it('lies in a file that its owner alone may use, with nothing left beside it', async () => {
    await loadOrCreateKey(directory)
    expect((await stat(keyFile)).mode & 0o777).toBe(0o600)
    expect((await stat(directory)).mode & 0o777).toBe(0o700)
    expect(await readdir(directory)).toEqual([KEY_FILE_NAME])
  })

  it('is one key, however many start at once or while another makes it', async () => {
    const startAfter = async (turns: number) => {
      for (let turn = 0; turn < turns; turn++) await setImmediate()
      return await loadOrCreateKey(directory)
    }
    const keys = await Promise.all(Array.from({ length: 40 }, (_, index) => startAfter(index)))
    expect(new Set(keys.map(peerIdOf)).size).toBe(1)
    expect(await readdir(directory)).toEqual([KEY_FILE_NAME])
  })

  it.each(['640', '604', '620', '610', '666'])('is refused with mode %s', async (mode) => {
    await loadOrCreateKey(directory)
    await chmod(keyFile, mode)
    await expect(loadOrCreateKey(directory)).rejects.toEqual(refusal('KEY_EXPOSED', /chmod 600/))
  })

  it('may be read-only', async () => {
    const key = await loadOrCreateKey(directory)
    await chmod(keyFile, 0o400)
    expect(peerIdOf(await loadOrCreateKey(directory))).toBe(peerIdOf(key))
  })

  it('is refused when the file is empty, cut, damaged, too long or no key, and the file is left as it is', async () => {
    await loadOrCreateKey(directory)
    const good = await readFile(keyFile)
    const damagedPublicHalf = Buffer.from(good)
    damagedPublicHalf.writeUInt8(good.readUInt8(67) ^ 1, 67)
    const damages = [
      Buffer.alloc(0),
      good.subarray(0, -1),
      Buffer.concat([good, Buffer.alloc(1)]),
      damagedPublicHalf,
      Buffer.from('no key'),
      Buffer.alloc(100_000, 1),
      Buffer.from(privateKeyToProtobuf(await generateKeyPair('secp256k1')))
    ]
    for (const bytes of damages) {
      await writeFile(keyFile, bytes)
      await expect(loadOrCreateKey(directory)).rejects.toEqual(refusal('KEY_UNREADABLE', /no whole Ed25519 key/))
      expect(await readFile(keyFile)).toEqual(bytes)
    }
  })

  it('is refused when the file is a directory', async () => {
    await mkdir(keyFile, { recursive: true, mode: 0o700 })
    await expect(loadOrCreateKey(directory)).rejects.toEqual(expect.objectContaining({ code: 'KEY_UNREADABLE' }))
  })

  it('is not made where none can be written', async () => {
    await writeFile(directory, 'a file')
    await expect(loadOrCreateKey(join(directory, 'data'))).rejects.toEqual(
      expect.objectContaining({ name: 'TrustError' })
    )
  })
})
