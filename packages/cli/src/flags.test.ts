import { LOG_LEVELS, ROLES, SETTING_KEYS } from '@layermesh/node'
import { Command } from 'commander'
import { expect, it } from 'vitest'
import { addSettingFlags, NODE_FLAGS, readSettingFlags } from './flags.ts'

function read(...args: string[]) {
  const command = addSettingFlags(new Command('node'), NODE_FLAGS)
  command.parse(args, { from: 'user' })
  return readSettingFlags(command, NODE_FLAGS)
}

it('has flags for settings that there are', () => {
  const known = SETTING_KEYS.map(({ path }) => path.join('.'))
  for (const { flag, path } of NODE_FLAGS) expect(known, flag).toContain(path.join('.'))
})

it('offers the choices that the settings have', () => {
  const choicesOf = (name: string) => [...(NODE_FLAGS.find(({ flag }) => flag === name)?.choices ?? [])].sort()
  expect(choicesOf('--role')).toEqual([...ROLES].sort())
  expect(choicesOf('--log-level')).toEqual([...LOG_LEVELS].sort())
})

it('says nothing of settings that no flag was given for', () => {
  expect(read()).toEqual([])
})

it('reads single, repeated and added settings', () => {
  expect(read('--secret-file', 's', '--join', 'a:1', '--join', 'b:2', '--trust', 'p', '--trust', 'q')).toEqual([
    { path: ['mesh', 'join'], value: ['a:1', 'b:2'], origin: { kind: 'flag', flag: '--join' } },
    { path: ['trust'], value: { peerId: 'p' }, origin: { kind: 'flag', flag: '--trust' }, append: true },
    { path: ['trust'], value: { peerId: 'q' }, origin: { kind: 'flag', flag: '--trust' }, append: true },
    { path: ['mesh', 'secretFile'], value: 's', origin: { kind: 'flag', flag: '--secret-file' } }
  ])
})

it('reads where registries are, each into its entry', () => {
  expect(read('--upstream', 'index.docker.io=http://localhost:5005', '--upstream', 'Quay.io=https://q?a=b')).toEqual([
    {
      path: ['upstreams', 'registries', 'docker.io', 'url'],
      value: 'http://localhost:5005',
      origin: { kind: 'flag', flag: '--upstream' }
    },
    {
      path: ['upstreams', 'registries', 'quay.io', 'url'],
      value: 'https://q?a=b',
      origin: { kind: 'flag', flag: '--upstream' }
    }
  ])
})

it.each(['docker.io', '=http://localhost:5005', '__proto__=http://localhost:5005', 'team/app=http://localhost:5005'])(
  'refuses the upstream %s',
  (value) => {
    const command = addSettingFlags(new Command('node'), NODE_FLAGS)
      .exitOverride()
      .configureOutput({ writeErr: () => {} })
    expect(() => command.parse(['--upstream', value], { from: 'user' })).toThrow(/expected HOST=URL/)
  }
)
