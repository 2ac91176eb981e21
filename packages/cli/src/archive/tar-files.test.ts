import { appendFile, readFile, truncate, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ArchiveFixture, type PackedEntry } from '../testing/archives.ts'
import { TAR_LIMITS } from './tar-entries.ts'
import { TarFiles } from './tar-files.ts'

const HELLO = 'sha256/2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'

let fixture: ArchiveFixture
beforeEach(async () => {
  fixture = await ArchiveFixture.create()
})
afterEach(() => fixture[Symbol.asyncDispose]())

async function refusal(entries: readonly PackedEntry[], limits = TAR_LIMITS): Promise<string> {
  const opened = TarFiles.open(await fixture.tar(entries), limits)
  return await opened.then(
    () => expect.fail('it was taken'),
    (error: Error) => error.message
  )
}

async function readAll(files: TarFiles, ...names: string[]): Promise<Record<string, string>> {
  const all: Record<string, string> = {}
  await files.stream(new Set(names), async (name, size, bytes) => {
    const chunks: Uint8Array[] = []
    for await (const chunk of bytes) chunks.push(chunk)
    const content = Buffer.concat(chunks)
    expect(content.length).toBe(size)
    all[name] = content.toString()
  })
  return all
}

it.each([false, true])('gives files by name, in whatever order they lie, compressed: %s', async (gzip) => {
  const large = 'x'.repeat(3_000_000)
  const entries: PackedEntry[] = [
    [{ name: './a.json' }, '{"a":1}'],
    [{ name: 'empty' }, ''],
    [{ name: 'directory/', type: 'directory' }],
    [{ name: `blobs/${HELLO}` }, 'hello'],
    [{ name: `${'long/'.repeat(60)}name` }, large],
    [{ name: 'directory/link', type: 'symlink', linkname: '../a.json' }],
    [{ name: 'hard', type: 'link', linkname: 'directory/link' }]
  ]
  const files = await TarFiles.open(await fixture.tar(entries, { gzip }))
  expect(await files.read('a.json', 100)).toEqual(Buffer.from('{"a":1}'))
  expect(Buffer.from((await files.read('hard', 100)) ?? '').toString()).toBe('{"a":1}')
  expect(await files.read('missing', 100)).toBeUndefined()
  expect(await files.stat(`blobs/${HELLO}`)).toMatchObject({ size: 5, digest: `sha256:${HELLO.slice(7)}` })
  const names = [`${'long/'.repeat(60)}name`, `blobs/${HELLO}`, 'empty']
  expect(await readAll(files, ...names)).toEqual({ [names[0] ?? '']: large, [names[1] ?? '']: 'hello', empty: '' })
  await files.close()
})

describe('refuses', () => {
  it.each<[what: string, entry: PackedEntry]>([
    ['a name that leads out', [{ name: '../../etc/passwd' }, 'x']],
    ['a name in the middle of which it leads out', [{ name: 'a/../../b' }, 'x']],
    ['an absolute name', [{ name: '/etc/passwd' }, 'x']],
    ['a name of Windows', [{ name: 'a\\..\\..\\b' }, 'x']],
    ['a link that leads out', [{ name: 'a/link', type: 'symlink', linkname: '../../etc/passwd' }]],
    ['an absolute link', [{ name: 'link', type: 'symlink', linkname: '/etc/passwd' }]],
    ['a hard link that leads out', [{ name: 'a/link', type: 'link', linkname: '../passwd' }]],
    ['a device', [{ name: 'null', type: 'character-device' }]],
    ['a pipe', [{ name: 'pipe', type: 'fifo' }]]
  ])('%s', async (_what, entry) => {
    expect(await refusal([[{ name: 'first' }, 'x'], entry])).toContain('is refused: it holds')
  })

  it('a name that is there twice', async () => {
    expect(
      await refusal([
        [{ name: 'a' }, 'x'],
        [{ name: './a' }, 'y']
      ])
    ).toContain('holds a twice')
  })

  it('a blob that is not what its name says, before anything is taken from it', async () => {
    expect(await refusal([[{ name: `blobs/${HELLO}` }, 'hullo']])).toContain(`is broken: blobs/${HELLO}`)
  })

  it('links in a circle', async () => {
    const circle: PackedEntry[] = [
      [{ name: 'a', type: 'symlink', linkname: 'b' }],
      [{ name: 'b', type: 'symlink', linkname: 'a' }]
    ]
    const files = await TarFiles.open(await fixture.tar(circle))
    await expect(files.stat('a')).rejects.toThrow('leads to no end')
    await files.close()
  })

  it('more entries than images have', async () => {
    const many = Array.from({ length: 11 }, (_, i): PackedEntry => [{ name: `f${i}` }, 'x'])
    expect(await refusal(many, { ...TAR_LIMITS, maxEntries: 10 })).toContain('more than 10 entries')
  })

  it('what grows without measure when it is unpacked, and not what is merely large', async () => {
    const limits = { ...TAR_LIMITS, suspectBytes: 1_000_000, maxRatio: 50 }
    const zeros = await fixture.tar([[{ name: 'zeros' }, Buffer.alloc(20_000_000)]], { gzip: true })
    await expect(TarFiles.open(zeros, limits)).rejects.toThrow('grows to more than images do')
    await (await TarFiles.open(zeros, { ...limits, maxRatio: 2_000 })).close()
    await expect(TarFiles.open(zeros, { ...limits, maxRatio: 2_000, maxBytes: 10_000_000 })).rejects.toThrow('too long')
  })

  it('what ends early, is no tar, or is compressed in another way', async () => {
    const path = await fixture.tar([[{ name: 'a' }, 'x'.repeat(10_000)]])
    await truncate(path, 5_000)
    await expect(TarFiles.open(path)).rejects.toThrow('can not be read as an archive')
    await writeFile(path, 'no tar at all'.repeat(1_000))
    await expect(TarFiles.open(path)).rejects.toThrow('can not be read as an archive')
    await writeFile(path, Buffer.from('28b52ffd00000000', 'hex'))
    await expect(TarFiles.open(path)).rejects.toThrow('unpack it first')
    const gzip = await fixture.tar([[{ name: 'a' }, 'x']], { gzip: true })
    const bytes = await readFile(gzip)
    await writeFile(gzip, bytes.subarray(0, bytes.length - 10))
    await expect(TarFiles.open(gzip)).rejects.toThrow('can not be read as an archive')
    await appendFile(gzip, 'rubbish')
    await expect(TarFiles.open(gzip)).rejects.toThrow('can not be read as an archive')
  })

  it('an extended header that is larger than any is', async () => {
    const path = await fixture.tar([[{ name: 'a' }, 'x'.repeat(6_000_000)]])
    const tar = await readFile(path)
    tar.write('x', 156)
    tar.write('        ', 148)
    const sum = tar.subarray(0, 512).reduce((a, b) => a + b, 0)
    tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
    await writeFile(path, tar)
    await expect(TarFiles.open(path)).rejects.toThrow('Header exceeds max size')
  })
})
