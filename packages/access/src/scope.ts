import type { RepositoryAction } from './access-types.ts'

/**
 * Scopes of Docker's token protocol: `repository:team/app:pull,push`. The name may hold a colon of its own, of a port,
 * so that type and actions are what is before the first and after the last one.
 * Source: distribution, docs/spec/auth/scope.md.
 */
export interface Scope {
  readonly type: string
  readonly name: string
  /** Without repetitions, in the order in which they were asked for. */
  readonly actions: readonly string[]
}

const TYPE = /^([a-z0-9]+)(?:\([a-z0-9]+\))?$/
const ACTIONS = /^(?:[a-z]+|\*)(?:,(?:[a-z]+|\*))*$/
const MAX_SCOPE_LENGTH = 500
const MAX_SCOPES = 32

/** Of each action of the protocol what it means here. Pushing a tag creates or updates it: which, nobody knows before. */
const MEANING: Readonly<Record<string, readonly RepositoryAction[]>> = Object.freeze({
  pull: ['pull'],
  push: ['create', 'update'],
  delete: ['delete'],
  '*': ['pull', 'create', 'update', 'delete']
})

/** Reads one scope; undefined when it is none. A class, as in `repository(plugin)`, is dropped. */
export function parseScope(text: string): Scope | undefined {
  if (text.length > MAX_SCOPE_LENGTH) return undefined
  const first = text.indexOf(':')
  const last = text.lastIndexOf(':')
  const [, type] = TYPE.exec(text.slice(0, Math.max(first, 0))) ?? []
  const name = text.slice(first + 1, last)
  const actions = text.slice(last + 1)
  if (type === undefined || first === last || name === '' || !ACTIONS.test(actions)) return undefined
  return { type, name, actions: [...new Set(actions.split(','))] }
}

/**
 * Reads scopes as requests bring them: several, each perhaps several with spaces between. What is no scope, and what
 * goes beyond 32, is left out: who asks for it is granted nothing by it, as other token servers do.
 */
export function parseScopes(texts: readonly string[]): Scope[] {
  const words = texts.flatMap((text) => text.split(' ')).filter((word) => word !== '')
  return words.slice(0, MAX_SCOPES).flatMap((word) => parseScope(word) ?? [])
}

/** Tells whether a scope is the one to list repositories: `registry:catalog:*`. */
export function isCatalog({ type, name, actions }: Scope): boolean {
  return type === 'registry' && name === 'catalog' && actions.includes('*')
}

export function formatScope({ type, name, actions }: Scope): string {
  return `${type}:${name}:${actions.join(',')}`
}

/** What actions of the protocol allow in a repository; unknown ones allow nothing. */
export function meaningOf(actions: readonly string[]): ReadonlySet<RepositoryAction> {
  return new Set(actions.flatMap((action) => (Object.hasOwn(MEANING, action) ? (MEANING[action] ?? []) : [])))
}

/** The actions of the protocol that a client needs for these of ours. Whoever pushes looks first at what is there. */
export function actionsFor(actions: readonly RepositoryAction[]): string[] {
  const pushes = actions.includes('create') || actions.includes('update')
  const needed = [actions.includes('pull') || pushes ? 'pull' : '', pushes ? 'push' : '']
  return [...needed, actions.includes('delete') ? 'delete' : ''].filter((action) => action !== '')
}

/**
 * The actions that are both asked for and allowed: `push` when any part of it is, `*` as those it stands for.
 * @param may what the client may in the repository that the scope names
 */
export function grantedActions(asked: readonly string[], may: (action: RepositoryAction) => boolean): string[] {
  const wanted = new Set(asked.flatMap((action) => (action === '*' ? ['pull', 'push', 'delete'] : [action])))
  return [...wanted].filter((action) => [...meaningOf([action])].some(may))
}
