import { expect, it } from 'vitest'
import { createLog } from './log.ts'

function capture(format: 'auto' | 'json' | 'pretty', level: 'info' | 'debug' = 'info', isTerminal = false) {
  const lines: string[] = []
  const log = createLog({ format, level }, { destination: { write: (line) => lines.push(line) }, isTerminal })
  return { log, lines }
}

it('writes one JSON object a line, with the time, the level by name and the component', () => {
  const { log, lines } = capture('json')
  log.child({ component: 'mesh' }).warn({ peerId: 'a' }, 'gone')
  const line = JSON.parse(lines[0] ?? '')
  expect(line).toMatchObject({ level: 'warn', component: 'mesh', peerId: 'a', msg: 'gone' })
  expect(new Date(line.time).getTime()).toBeGreaterThan(0)
  expect(lines[0]?.endsWith('}\n')).toBe(true)
})

it('leaves out what is below its level', () => {
  const { log, lines } = capture('json')
  log.debug('detail')
  expect(lines).toEqual([])
  const chatty = capture('json', 'debug')
  chatty.log.debug('detail')
  expect(chatty.lines).toHaveLength(1)
})

it('hides secrets in both formats', () => {
  for (const format of ['json', 'pretty'] as const) {
    const { log, lines } = capture(format)
    log.info({ secret: 'hunter2', headers: { authorization: 'Bearer hunter2', cookie: 'hunter2' } }, 'asked')
    expect(lines[0]).not.toContain('hunter2')
    expect(lines[0]).toContain('[hidden]')
  }
})

it('writes lines for people on a terminal only', () => {
  const people = capture('auto', 'info', true)
  people.log.child({ component: 'mesh' }).info({ peers: 3, why: 'two words' }, 'joined')
  expect(people.lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} INFO {2}\[mesh] joined peers=3 why="two words"\n$/)
  const machine = capture('auto')
  machine.log.info('joined')
  expect(machine.lines[0]?.startsWith('{')).toBe(true)
})

it('keeps what a stranger sent from writing lines or moving the cursor', () => {
  const { log, lines } = capture('pretty')
  log.info({ name: 'a\n00:00:00.000 INFO fake', 'k\u001b[2J': '\u001b[2J' }, 'bad\r\nname \u202e')
  expect(lines).toHaveLength(1)
  expect(lines[0]?.trimEnd()).not.toMatch(/\p{Cc}|\u202e/u)
})

it('shows the stack of an error below the line', () => {
  const { log, lines } = capture('pretty')
  log.error({ err: new Error('disk full') }, 'push failed')
  expect(lines[0]).toMatch(/ERROR push failed\n {4}Error: disk full\n {4,}at /)
})
