import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { findInstallation } from './installation.ts'

let top: string
beforeEach(async () => {
  top = await realpath(await mkdtemp(join(tmpdir(), 'layermesh-installation-')))
})
afterEach(() => rm(top, { recursive: true }))

async function write(path: string, content: string | object): Promise<void> {
  await mkdir(dirname(join(top, path)), { recursive: true })
  await writeFile(join(top, path), typeof content === 'string' ? content : JSON.stringify(content))
}

async function link(path: string, target: string): Promise<void> {
  await mkdir(dirname(join(top, path)), { recursive: true })
  await symlink(target, join(top, path))
}

/** A workspace as pnpm lays it out: a store, and links from each package to what it depends on. */
async function makeWorkspace(): Promise<void> {
  await write('packages/cli/package.json', {
    name: '@layermesh/cli',
    dependencies: { '@layermesh/oci': 'workspace:*', tar: '1' },
    optionalDependencies: { missing: '1' },
    devDependencies: { tester: '1' }
  })
  await write('packages/cli/dist/main.js', 'main')
  await write('packages/cli/src/main.ts', 'source')
  await write('packages/oci/package.json', { name: '@layermesh/oci' })
  await write('packages/oci/dist/index.js', 'oci')
  await write('node_modules/.pnpm/tar@1/node_modules/tar/package.json', { name: 'tar', dependencies: { flat: '1' } })
  await write('node_modules/.pnpm/tar@1/node_modules/tar/lib/tar.js', 'tar')
  await write('node_modules/.pnpm/tester@1/node_modules/tester/package.json', { name: 'tester' })
  await write('node_modules/flat/package.json', { name: 'flat', dependencies: { tar: '1' } })
  await link('packages/cli/node_modules/tar', '../../../node_modules/.pnpm/tar@1/node_modules/tar')
  await link('packages/cli/node_modules/tester', '../../../node_modules/.pnpm/tester@1/node_modules/tester')
  await link('packages/cli/node_modules/@layermesh/oci', '../../../oci')
  await link('node_modules/tar', '.pnpm/tar@1/node_modules/tar')
}

it('finds what runs, and the links by which packages find each other', async () => {
  await makeWorkspace()
  const found = await findInstallation(join(top, 'packages/cli/dist/main.js'))
  expect(found.entry).toBe('/opt/layermesh/packages/cli/dist/main.js')
  expect(found.runtime).toEqual([{ path: 'usr/local/bin/node', source: await realpath(process.execPath) }])
  const paths = (files: readonly { path: string }[]) => files.map(({ path }) => path.replace('opt/layermesh/', ''))
  expect(paths(found.program)).toEqual([
    'packages/cli/dist/main.js',
    'packages/cli/node_modules/@layermesh/oci',
    'packages/cli/node_modules/tar',
    'packages/cli/package.json',
    'packages/oci/dist/index.js',
    'packages/oci/package.json'
  ])
  expect(paths(found.dependencies)).toEqual([
    'node_modules/.pnpm/tar@1/node_modules/tar/lib/tar.js',
    'node_modules/.pnpm/tar@1/node_modules/tar/package.json',
    'node_modules/flat/package.json',
    'node_modules/tar'
  ])
})

it('keeps links relative, so that they hold in the image', async () => {
  await makeWorkspace()
  const { program } = await findInstallation(join(top, 'packages/cli/dist/main.js'))
  const links = program.filter(({ linkTo }) => linkTo !== undefined)
  expect(links.map(({ linkTo }) => linkTo)).toEqual([
    '../../../oci',
    '../../../node_modules/.pnpm/tar@1/node_modules/tar'
  ])
})

it('starts from the script itself when it is reached through a link', async () => {
  await makeWorkspace()
  await link('bin/layermesh', '../packages/cli/dist/main.js')
  expect((await findInstallation(join(top, 'bin/layermesh'))).entry).toBe('/opt/layermesh/packages/cli/dist/main.js')
})
