import { expect, it } from 'vitest'
import { loadConfig } from './load.ts'

const load = (text: string) => loadConfig({ file: 'mesh.yaml', text })

it('reads retention rules into ms', async () => {
  const { config } = await load(`role: seed
retention:
  every: 1h
  rules:
    - { repositories: team/*, tags: v*, keepLast: 5, keepYoungerThan: 30d }
    - { repositories: "**", untagged: { olderThan: 7d } }`)
  expect(config.retention).toEqual({
    everyMs: 3_600_000,
    rules: [
      { repositories: 'team/*', tags: 'v*', keepLast: 5, keepYoungerThanMs: 30 * 86_400_000 },
      { repositories: '**', tags: '*', untaggedAfterMs: 7 * 86_400_000 }
    ]
  })
  expect((await load('role: seed')).config.retention).toEqual({ everyMs: 21_600_000, rules: [] })
})

it.each([
  '{ tags: v*, keepLast: 1 }',
  '{ repositories: team/*, keepLast: 0 }',
  '{ repositories: team/*, keepYoungerThan: 0s }',
  '{ repositories: team/*, tags: "v[1]", keepLast: 1 }',
  '{ repositories: team/*, untagged: {} }',
  '{ repositories: team/* }'
])('refuses the rule %s', async (rule) => {
  await expect(load(`role: seed\nretention:\n  rules:\n    - ${rule}`)).rejects.toMatchObject({ line: 4 })
})

it('warns that rules do nothing on a node that is no seed', async () => {
  const { warnings } = await load('retention: { rules: [{ repositories: "**", keepLast: 1 }] }')
  expect(warnings).toContain('retention.rules do nothing on a node that is no seed')
})
