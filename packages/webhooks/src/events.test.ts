import { readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { EventPattern } from './event-pattern.ts'
import { definitionOf, EVENTS, type EventName, FIELD_MEANINGS, subjectOf, typeOf } from './events.ts'

const NAMES = Object.keys(EVENTS) as EventName[]
const code = (texts: readonly string[]) => texts.map((text) => `\`${text}\``).join(', ') || '–'

function eventTable(): string[] {
  return NAMES.map((name) => {
    const { when, always, maybe, docker } = definitionOf(name)
    return `| ${[`\`${typeOf(name)}\``, when, code(always), code(maybe), docker ?? '–'].join(' | ')} |`
  })
}

function fieldTable(): string[] {
  return Object.entries(FIELD_MEANINGS).map(([field, meaning]) => `| \`${field}\` | ${meaning} |`)
}

it('has all events and fields in EVENTS.md, as the tables in the code have them', async () => {
  const text = await readFile(new URL('../EVENTS.md', import.meta.url), 'utf8')
  const rows = text.split('\n').filter((line) => /^\| `/.test(line))
  expect(rows.map((row) => row.replaceAll(/ +\|/g, ' |'))).toEqual([...eventTable(), ...fieldTable()])
})

it('takes patterns of names and of whole types', () => {
  const matched = (text: string) => NAMES.filter((name) => new EventPattern(text).matches(name))
  expect(matched('tag.*')).toEqual(['tag.set', 'tag.moved', 'tag.deleted', 'tag.restored'])
  expect(matched('*.pulled')).toEqual(['manifest.pulled', 'blob.pulled'])
  expect(matched('dev.layermesh.peer.banned.v1')).toEqual(['peer.banned'])
  expect(matched('*')).toEqual(NAMES.filter((name) => name !== 'ping'))
})

it('refuses patterns that fit nothing', () => {
  for (const text of ['tag.renamed', 'ping', '', 'tag', 'tag.(set)', 'TAG.*', '*'.repeat(101)]) {
    expect(() => new EventPattern(text), text).toThrow(TypeError)
  }
})

it('names what an event is about', () => {
  const [repository, digest] = ['team/app', 'sha256:abc']
  expect(subjectOf({ repository, digest, tag: '1' })).toBe('team/app:1')
  expect(subjectOf({ repository, digest })).toBe('team/app@sha256:abc')
  expect(subjectOf({ peerId: '12D3' })).toBe('12D3')
  expect(subjectOf({})).toBeUndefined()
})
