import { mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, it, onTestFinished } from 'vitest'
import { formatAuditLine } from './audit-line.ts'
import { AUDIT_ACTIONS, AUDIT_FIELDS, type AuditEntry } from './entry.ts'
import { RotatingFile, type RotatingFileOptions } from './rotating-file.ts'

const ENTRY: AuditEntry = { time: '2026-11-26T04:00:00.000Z', node: '12D3', action: 'push', result: 'allowed' }

it('has all actions and fields in AUDIT.md, as the tables in the code have them', async () => {
  const text = await readFile(new URL('../../AUDIT.md', import.meta.url), 'utf8')
  const rows = text.split('\n').filter((line) => /^\| `/.test(line))
  const tables = [...Object.entries(AUDIT_ACTIONS), ...Object.entries(AUDIT_FIELDS)]
  expect(rows.map((row) => row.replaceAll(/ +\|/g, ' |'))).toEqual(
    tables.map(([name, meaning]) => `| \`${name}\` | ${meaning} |`)
  )
})

it('makes one line of whatever a client calls itself', () => {
  const hostile = fc.string({ unit: 'binary', maxLength: 200 })
  fc.assert(
    fc.property(hostile, hostile, (actor, userAgent) => {
      const line = formatAuditLine({ ...ENTRY, actor, userAgent })
      expect(line.indexOf('\n')).toBe(line.length - 1)
      expect(line).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}](?!$)/u)
      expect(JSON.parse(line)).toEqual({ ...ENTRY, actor, userAgent })
    })
  )
  expect(formatAuditLine({ ...ENTRY, actor: 'bob"}\n{"actor":"alice' }).split('\n')).toHaveLength(2)
})

it('hides what is named like a secret, and cuts off what is long', () => {
  const details = { user: 'bob', secret: 'hunter2', nested: [{ adminToken: 'hunter2', password: ['hunter2'] }] }
  const line = formatAuditLine({ ...ENTRY, details, reason: 'x'.repeat(5_000) })
  expect(line).not.toContain('hunter2')
  expect(JSON.parse(line).details).toEqual({
    user: 'bob',
    secret: '[hidden]',
    nested: [{ adminToken: '[hidden]', password: '[hidden]' }]
  })
  expect(line.length).toBeLessThan(1_500)
})

async function openFile(options: Partial<RotatingFileOptions> = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-audit-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const path = join(directory, 'audit.log')
  const notes: unknown[] = []
  const components = {
    onDropped: (count: number) => void notes.push(`dropped ${count}`),
    onTrouble: (error: unknown) => void notes.push((error as NodeJS.ErrnoException).code)
  }
  const file = new RotatingFile(components, { path, maxBytes: 1_000_000, keep: 2, ...options })
  await file.open()
  onTestFinished(() => file.close())
  return { directory, path, file, notes }
}

it('adds lines in order, to a file that only its owner can read', async () => {
  const { path, file } = await openFile()
  for (let i = 0; i < 100; i++) file.write(`${i}\n`)
  await file.close()
  expect(await readFile(path, 'utf8')).toBe(Array.from({ length: 100 }, (_, i) => `${i}\n`).join(''))
  expect((await stat(path)).mode & 0o777).toBe(0o600)
})

it('puts a long file aside, and keeps so many', async () => {
  const { directory, path, file } = await openFile({ maxBytes: 100 })
  for (let i = 0; i < 5; i++) {
    file.write(`${i}${'x'.repeat(200)}\n`)
    await file.reopen()
  }
  file.write('last\n')
  await file.close()
  expect((await readdir(directory)).sort()).toEqual(['audit.log', 'audit.log.1', 'audit.log.2'])
  expect(await readFile(path, 'utf8')).toBe('last\n')
  expect((await readFile(`${path}.2`, 'utf8'))[0]).toBe('3')
})

it('goes on with a new file when the old one was moved away', async () => {
  const { path, file } = await openFile()
  file.write('before\n')
  await file.reopen()
  await rename(path, `${path}.moved`)
  file.write('after\n')
  await file.close()
  expect([await readFile(`${path}.moved`, 'utf8'), await readFile(path, 'utf8')]).toEqual(['before\n', 'after\n'])
})

it('tells of lines that it could not write, and writes again once it can', async () => {
  const { directory, path, file, notes } = await openFile()
  await rm(directory, { recursive: true })
  file.write('lost\n')
  await file.reopen()
  expect(notes).toEqual(['ENOENT', 'dropped 1'])
  const other = await openFile()
  await rename(other.directory, directory)
  await writeFile(path, '')
  file.write('kept\n')
  await file.close()
  expect(await readFile(path, 'utf8')).toBe('kept\n')
})

it('holds no more than its bound while the disk takes nothing', async () => {
  const { path, file, notes } = await openFile({ maxQueued: 10 })
  for (let i = 0; i < 10; i++) file.write('12345\n')
  await file.close()
  expect(notes).toHaveLength(9)
  expect(await readFile(path, 'utf8')).toBe('12345\n')
})
