import { createReadStream } from 'node:fs'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { createGunzip, gunzipSync } from 'node:zlib'
import { digestOf } from '@layermesh/oci'
import { extract } from 'tar-stream'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { writeLayer } from './layer.ts'

const PATIENT = new AbortController().signal

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layermesh-layer-'))
})
afterEach(() => rm(directory, { recursive: true }))

async function sourceFile(content: string, mode = 0o600): Promise<string> {
  const path = join(directory, 'source')
  await writeFile(path, content)
  await chmod(path, mode)
  return path
}

it('holds the files and links, with the digests of the layer as it is and as it was before it was compressed', async () => {
  const source = await sourceFile('x'.repeat(100_000), 0o700)
  const files = [
    { path: 'a/program', source },
    { path: 'b', linkTo: 'a/program' }
  ]
  const layer = await writeLayer(files, join(directory, 'layer'), PATIENT)
  const bytes = await readFile(layer.path)
  expect(layer.digest).toBe(digestOf(bytes))
  expect(layer.size).toBe(bytes.length)
  expect(layer.diffId).toBe(digestOf(gunzipSync(bytes)))

  const archive = createReadStream(layer.path).pipe(createGunzip()).pipe(extract())
  const found: unknown[] = []
  for await (const entry of archive) {
    const { name, type, mode, linkname } = entry.header
    found.push([name, type, mode, linkname, (await text(entry)).length])
  }
  expect(found).toEqual([
    ['a/program', 'file', 0o755, null, 100_000],
    ['b', 'symlink', expect.anything(), 'a/program', 0]
  ])
})

it('is the same layer for the same files', async () => {
  const files = [{ path: 'a', source: await sourceFile('same') }]
  const first = await writeLayer(files, join(directory, '1'), PATIENT)
  const second = await writeLayer(files, join(directory, '2'), PATIENT)
  expect(second.digest).toBe(first.digest)
})

it('fails when a file is not there, or when it is told to stop', async () => {
  const missing = [{ path: 'a', source: join(directory, 'none') }]
  await expect(writeLayer(missing, join(directory, 'l'), AbortSignal.timeout(120_000))).rejects.toMatchObject({
    code: 'ENOENT'
  })
  const files = [{ path: 'a', source: await sourceFile('x') }]
  await expect(writeLayer(files, join(directory, 'l'), AbortSignal.abort())).rejects.toMatchObject({
    name: 'AbortError'
  })
})
