import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { ask, putImage } from './support/client.ts'

const NAMES = [
  '',
  ' ',
  '.hidden',
  'sha256',
  'a'.repeat(64),
  'ä',
  '%2e%2e',
  'CON',
  'x\ny',
  '-rf',
  'node_modules',
  '\u202e'
]

const sandbox = useSandbox()

// distribution #4860: an unexpected directory among the uploads ended the process when it looked for old ones.
test('files, directories and links that do not belong there are passed over, and nothing that does is lost', async () => {
  const options = { name: 'seed', role: 'seed', settings: { uploads: { idleTimeout: '1s' } } } as const
  const seed = await MeshNode.start(sandbox, options)
  const { layer } = await putImage(seed, 'team/app', '1', Buffer.from('a layer'))
  const path = `/v2/team/app/blobs/${layer.digest}`
  const directories = (await readdir(seed.dataDirectory, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isDirectory() && !/(libp2p|metadata|level)/.test(join(entry.parentPath, entry.name)))
    .map((entry) => join(entry.parentPath, entry.name))
  expect(directories.length).toBeGreaterThan(3)
  await seed.kill()
  for (const directory of [seed.dataDirectory, ...directories]) await litter(directory)

  await seed.restart()
  expect((await ask(seed, 'GET', path)).body.toString()).toBe('a layer')
  await putImage(seed, 'team/app', '2', Buffer.from('another layer'))
  await seed.stop()
  await seed.restart()
  expect((await ask(seed, 'GET', '/v2/team/app/manifests/2')).status).toBe(200)
  expect((await ask(seed, 'GET', path)).status).toBe(200)
})

async function litter(directory: string): Promise<void> {
  for (const [i, name] of NAMES.entries()) {
    const path = join(directory, `${name}${i}`)
    if (i % 3 === 0) await mkdir(path)
    else if (i % 3 === 1) await writeFile(path, 'junk')
    else await symlink(i % 2 ? '/nowhere' : '..', path)
  }
}
