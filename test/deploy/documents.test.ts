import { existsSync } from 'node:fs'
import { glob } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { loadConfig } from '@layermesh/node'
import { beforeAll, expect, test } from 'vitest'
import { flagsIn, helpOf, readTop, TOP, unknownFlags } from './support.ts'

interface Document {
  /** From the top. */
  readonly path: string
  readonly text: string
}

interface PackageManifest {
  readonly scripts?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
}

let documents: Document[]

beforeAll(async () => {
  const paths = await find('*.md', 'deploy/**/*.md', 'packages/*/*.md')
  documents = await Promise.all(paths.map(async (path) => ({ path, text: await readTop(path) })))
  expect(paths).toEqual(
    expect.arrayContaining(['README.md', 'ARCHITECTURE.md', join('packages', 'mesh', 'PROTOCOL.md')])
  )
})

/** Files of the repository, from the top. */
async function find(...patterns: string[]): Promise<string[]> {
  const paths: string[] = []
  for await (const path of glob(patterns, { cwd: TOP })) paths.push(path)
  return paths
}

async function readManifest(path: string): Promise<PackageManifest> {
  return JSON.parse(await readTop(path)) as PackageManifest
}

/** All of a document that is code: fenced blocks line by line, and what stands between backticks. */
function codeIn({ text }: Document): string[] {
  const fenced = [...text.matchAll(/```(?:sh|bash)\n(.*?)```/gs)].flatMap(([, block = '']) =>
    block.replaceAll('\\\n', ' ').split('\n')
  )
  const inline = [...text.replace(/```.*?```/gs, '').matchAll(/`([^`\n]+(?:\n[^`\n]+)?)`/g)]
  return [...fenced, ...inline.map(([, code = '']) => code.replaceAll('\n', ' '))].map((line) => line.trim())
}

/** Headings as they are linked to. */
function anchorsIn(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} -]/gu, '')
      .replaceAll(' ', '-')
  )
}

test('link only to what is there', async () => {
  const broken: string[] = []
  for (const { path, text } of documents) {
    for (const [, link = ''] of text.matchAll(/\]\((?!https?:)([^)]+)\)/g)) {
      const [file = '', anchor] = link.split('#')
      const target = file === '' ? path : join(dirname(path), file)
      if (!existsSync(join(TOP, target))) broken.push(`${path}: ${link}`)
      else if (anchor !== undefined && !anchorsIn(await readTop(target)).includes(anchor))
        broken.push(`${path}: ${link}`)
    }
  }
  expect(broken).toEqual([])
})

test('name only files of the repository that are there', () => {
  const missing = documents.flatMap((document) =>
    codeIn(document)
      .filter((code) => /^(packages|test|deploy|\.ci)\/[\w./-]+$/.test(code))
      .filter((file) => !existsSync(join(TOP, file)))
      .map((file) => `${document.path}: ${file}`)
  )
  expect(missing).toEqual([])
})

/** A command of layermesh where a command stands in a line of shell, up to where the command ends. */
const COMMAND = /(?:^|[(;] ?|-- |\.bin\/|exec layermesh )layermesh ([a-z][^|>);]*)/
/** Commands that are named with a second word. */
const GROUPS = ['config', 'keys', 'peer', 'retention', 'secret', 'seeds', 'setup', 'ticket', 'token', 'user', 'webhook']

test('show only commands and flags of layermesh that there are', async () => {
  const wrong: string[] = []
  let shown = 0
  for (const document of documents) {
    for (const line of codeIn(document)) {
      const [, command] = COMMAND.exec(line) ?? []
      if (command === undefined) continue
      shown++
      const [name = '', second = ''] = command.split(' ')
      const words = GROUPS.includes(name) ? [name, second] : [name]
      const exists = (await helpOf(...words.slice(0, -1))).includes(`\n  ${words.at(-1)} `)
      if (!exists) wrong.push(`${document.path}: ${line}`)
      else
        wrong.push(
          ...(await unknownFlags(words, flagsIn(command))).map((flag) => `${document.path}: ${flag} in ${line}`)
        )
    }
  }
  expect(wrong).toEqual([])
  expect(shown).toBeGreaterThan(20)
})

test('name only scripts that there are', async () => {
  const { scripts = {} } = await readManifest('package.json')
  const named = documents.flatMap((document) =>
    codeIn(document).flatMap((line) =>
      [...line.matchAll(/(?:npm run|(?:^|-- )pnpm) ([a-z0-9:]+)/g)].map(([, name = '']) => name)
    )
  )
  expect(named.length).toBeGreaterThan(5)
  expect(named.filter((name) => !Object.hasOwn(scripts, name))).toEqual([])
})

test('show settings that a node takes', async () => {
  const examples = documents.flatMap(({ text }) =>
    [...text.matchAll(/```yaml\n(.*?)```/gs)].map(([, yaml = '']) => yaml)
  )
  expect(examples.length).toBeGreaterThan(0)
  for (const text of examples) await loadConfig({ text })
})

test('say of every dependency why it is worth it, and of nothing else', async () => {
  const manifests = await find('packages/*/package.json')
  const used = new Set<string>()
  for (const path of manifests)
    for (const name of Object.keys((await readManifest(path)).dependencies ?? {})) used.add(name)
  const architecture = await readTop('ARCHITECTURE.md')
  const rows = architecture.slice(architecture.indexOf('## Dependencies')).match(/^\| `.*$/gm) ?? []
  const explained = rows.flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name))
  expect(explained.toSorted()).toEqual([...used].filter((name) => !name.startsWith('@layermesh/')).toSorted())
})
