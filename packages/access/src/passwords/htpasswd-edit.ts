import { type FileHandle, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { AccessError } from '../errors.ts'
import { isUserName, parseHtpasswd } from './htpasswd-file.ts'

/** 4,096 rounds, a fifth of a second or so for each log-in. */
const COST = 12
/** Bcrypt looks at no more. */
const MAX_PASSWORD_BYTES = 72
const OWNER_ONLY = 0o600
const CONTROL = /\p{Cc}/u

/**
 * Adds a user to an htpasswd file, or gives one another password; makes the file when there is none. Other lines stay
 * as they are, and a node that reads the file meanwhile finds the old one or the new one, whole.
 * @returns whether the user is new
 * @throws {AccessError} USER_INVALID, HTPASSWD_INVALID, HTPASSWD_UNWRITABLE
 */
export async function setUser(path: string, user: string, password: string, cost = COST): Promise<boolean> {
  if (!isUserName(user)) {
    throw new AccessError(
      'USER_INVALID',
      'a user name has up to 255 characters, no colon, no space at its ends, and does not begin with #'
    )
  }
  checkPassword(password)
  // Nodes load this file too, and hash no passwords here.
  const { default: bcrypt } = await import('bcryptjs')
  const line = `${user}:${await bcrypt.hash(password, cost)}`
  let isNew = true
  await edit(path, (lines) => {
    isNew = !lines.some((other) => isOf(user, other))
    return isNew ? [...lines, line] : lines.map((other) => (isOf(user, other) ? line : other))
  })
  return isNew
}

/** Removes a user from an htpasswd file. @throws {AccessError} USER_INVALID when there is none, HTPASSWD_INVALID, HTPASSWD_UNWRITABLE */
export async function removeUser(path: string, user: string): Promise<void> {
  await edit(path, (lines) => {
    const rest = lines.filter((line) => !isOf(user, line))
    if (rest.length < lines.length) return rest
    throw new AccessError('USER_INVALID', `there is no user ${JSON.stringify(user)} in ${path}`)
  })
}

/** The names of the users of an htpasswd file. @throws {AccessError} HTPASSWD_UNREADABLE, HTPASSWD_INVALID */
export async function listUsers(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new AccessError('HTPASSWD_UNREADABLE', `can not read ${path} (${codeOf(cause)})`, { cause })
  })
  return [...parseHtpasswd(text, path).keys()]
}

function checkPassword(password: string): void {
  const length = Buffer.byteLength(password)
  if (length > 0 && length <= MAX_PASSWORD_BYTES && !CONTROL.test(password)) return
  throw new AccessError(
    'USER_INVALID',
    `a password has 1 to ${MAX_PASSWORD_BYTES} bytes, which is all that bcrypt looks at, and no control characters`
  )
}

/** Writes the new file beside the old one, which also keeps others from changing it meanwhile, and renames it. */
async function edit(path: string, change: (lines: readonly string[]) => readonly string[]): Promise<void> {
  const temporary = `${path}.new`
  const file = await create(temporary)
  try {
    const { lines, mode, owner } = await readLines(path)
    const text = change(lines)
      .map((line) => `${line}\n`)
      .join('')
    parseHtpasswd(text, path)
    await file.writeFile(text)
    // Whoever could read the file must be able to go on: root changes files that belong to a service.
    if (owner !== undefined) await giveTo(file, owner)
    await file.chmod(mode)
    await file.sync()
    await rename(temporary, path)
    await syncDirectory(dirname(path))
  } catch (cause) {
    await rm(temporary, { force: true })
    if (cause instanceof AccessError) throw cause
    throw new AccessError('HTPASSWD_UNWRITABLE', `can not write ${path} (${codeOf(cause)})`, { cause })
  } finally {
    await file.close()
  }
}

async function create(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', OWNER_ONLY)
  } catch (cause) {
    const code = codeOf(cause)
    const reason =
      code === 'EEXIST' ? 'another change is under way; remove it if none is' : `it can not be written (${code})`
    throw new AccessError('HTPASSWD_UNWRITABLE', `${path}: ${reason}`, { cause })
  }
}

interface Owner {
  readonly uid: number
  readonly gid: number
}

async function giveTo(file: FileHandle, { uid, gid }: Owner): Promise<void> {
  const own = await file.stat()
  if (own.uid !== uid || own.gid !== gid) await file.chown(uid, gid)
}

/** The lines of a file, none when it is not there, and the mode and the owner that the next one is to have. */
async function readLines(path: string): Promise<{ lines: readonly string[]; mode: number; owner?: Owner }> {
  try {
    const { mode, uid, gid } = await stat(path)
    const text = await readFile(path, 'utf8')
    const lines = text === '' ? [] : text.replace(/\r?\n$/, '').split(/\r?\n/)
    return { lines, mode: mode & 0o777, owner: { uid, gid } }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return { lines: [], mode: OWNER_ONLY }
    throw error
  }
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r')
  await directory.sync()
}

function isOf(user: string, line: string): boolean {
  return line.startsWith(`${user}:`)
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
