import { join } from 'node:path'
import { setUser } from '@layermesh/node'
import type { NodeOptions } from '../../support/node.ts'
import type { Sandbox } from '../../support/sandbox.ts'
import { type PushedImage, putImage } from './client.ts'
import { Victim } from './victim.ts'

/** What nobody may read but alice and bob. */
export const CANARY = 'canary-in-a-coal-mine'
const PASSWORD = 'correct horse battery staple'
const USERS = ['alice', 'bob', 'carol', 'mallory'] as const

const ALL = ['pull', 'create', 'update', 'delete']

/** `Authorization` of a user who is in the password file. */
export function basic(user: string, password = PASSWORD): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

/** A seed and a node that follows it, with the same rules; {@link CANARY} is in an image of `secret/app`. */
export class SecuredMesh {
  readonly seed: Victim
  readonly node: Victim
  readonly htpasswd: string
  readonly secret: PushedImage

  private constructor(parts: { seed: Victim; node: Victim; htpasswd: string; secret: PushedImage }) {
    this.seed = parts.seed
    this.node = parts.node
    this.htpasswd = parts.htpasswd
    this.secret = parts.secret
  }

  /** @param options of both nodes */
  static async start(sandbox: Sandbox, options: Partial<NodeOptions> = {}): Promise<SecuredMesh> {
    const htpasswd = join(sandbox.directory, 'htpasswd')
    for (const user of USERS) await setUser(htpasswd, user, PASSWORD)
    const settings = { ...options.settings, access: { htpasswd, groups: GROUPS, rules: RULES } }
    const seed = await Victim.start(sandbox, { ...options, name: 'seed', role: 'seed', settings })
    const node = await Victim.start(sandbox, { ...options, name: 'node', join: [seed.node], seed: seed.node, settings })
    const alice = { Authorization: basic('alice') }
    const secret = await putImage(seed.node, 'secret/app', '1', Buffer.from(`layer with a ${CANARY}`), alice)
    await putImage(seed.node, 'public/app', '1', Buffer.from('for everybody'), alice)
    await putImage(seed.node, 'ci/app', '1', Buffer.from('built once'), alice)
    return new SecuredMesh({ seed, node, htpasswd, secret })
  }
}

const GROUPS = { readers: ['bob'] }
const RULES = [
  {
    repositories: 'public/**',
    grant: [
      { anyone: true, actions: ['pull'] },
      { users: ['alice'], actions: ALL }
    ]
  },
  {
    repositories: 'ci/**',
    grant: [
      { users: ['carol'], actions: ['pull', 'create'] },
      { users: ['alice'], actions: ALL }
    ]
  },
  {
    repositories: 'secret/**',
    grant: [
      { groups: ['readers'], actions: ['pull'] },
      { users: ['alice'], actions: ALL }
    ]
  }
]
