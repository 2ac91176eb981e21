import { AccessError } from '../errors.ts'

/** The users of an htpasswd file with the bcrypt hashes of their passwords. */
export type PasswordTable = ReadonlyMap<string, string>

export const MAX_HTPASSWD_BYTES = 4 * 1024 * 1024
const MAX_USERS = 20_000
/** htpasswd(1) makes 5 when nothing is said. More than 15 takes seconds for each log-in. */
const COST = Object.freeze({ min: 5, max: 15 })
const BCRYPT = /^\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}$/
/** As in {@link parseHtpasswd}: no colon, which parts user and hash, and nothing that would begin a comment. */
const USER_NAME = /^[^\s:#\p{Cc}][^:\p{Cc}]{0,254}$/u

/**
 * Reads an htpasswd file: `user:hash` a line; empty lines and those that begin with # mean nothing. Only bcrypt is
 * taken; a message names the line and never what stands in it.
 * @throws {AccessError} HTPASSWD_INVALID
 */
export function parseHtpasswd(text: string, path: string): PasswordTable {
  const table = new Map<string, string>()
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const wrong = (reason: string) => new AccessError('HTPASSWD_INVALID', `${path}:${index + 1}: ${reason}`)
    const colon = line.indexOf(':')
    const user = line.slice(0, Math.max(colon, 0))
    const hash = line.slice(colon + 1).trimEnd()
    if (!isUserName(user)) throw wrong('expected USER:HASH')
    const problem = problemOf(hash)
    if (problem !== undefined) throw wrong(problem)
    if (table.has(user)) throw wrong('this user has a line already')
    if (table.size >= MAX_USERS) throw wrong(`there are more than ${MAX_USERS} users`)
    table.set(user, hash)
  }
  return table
}

/** The text that {@link parseHtpasswd} reads as these users. */
export function formatHtpasswd(table: PasswordTable): string {
  return [...table].map(([user, hash]) => `${user}:${hash}\n`).join('')
}

/** Tells whether a user can have this name. */
export function isUserName(name: string): boolean {
  return USER_NAME.test(name) && name.trim() === name
}

/** The cost of a bcrypt hash, the binary logarithm of its rounds. */
export function costOf(hash: string): number {
  return Number(BCRYPT.exec(hash)?.[1])
}

function problemOf(hash: string): string | undefined {
  if (!BCRYPT.test(hash)) {
    return 'the hash is not bcrypt ($2a$, $2b$ or $2y$); make it with `layermesh user add` or `htpasswd -B`'
  }
  const cost = costOf(hash)
  if (cost >= COST.min && cost <= COST.max) return undefined
  return `the hash has cost ${cost}, and ${COST.min} to ${COST.max} are taken; make it anew with \`layermesh user add\``
}
