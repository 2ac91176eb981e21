import { randomBytes } from 'node:crypto'
import { link, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { AdminTokenError } from './errors.ts'

/** The file of a data directory that holds the token for the admin API, readable by its owner only. */
export const ADMIN_TOKEN_FILE = 'admin.token'

const TOKEN_BYTES = 32
const TOKEN = /^[A-Za-z0-9_-]{43}$/
const MAX_FILE_BYTES = 256
const OWNER_ONLY = 0o600
const OTHERS_MASK = 0o077

/**
 * The token that whoever changes a running node by its admin API must show; made when there is none.
 * @throws {AdminTokenError} when others may read the file, or it holds no token
 */
export async function loadOrCreateAdminToken(dataDir: string): Promise<string> {
  const path = join(dataDir, ADMIN_TOKEN_FILE)
  return (await readToken(path)) ?? (await createToken(path))
}

async function readToken(path: string): Promise<string | undefined> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (file === undefined) return undefined
  await using opened = file
  const { mode } = await opened.stat()
  if ((mode & OTHERS_MASK) !== 0) {
    throw new AdminTokenError(
      'ADMIN_TOKEN_EXPOSED',
      `other users may read the admin token ${path}; remove it, and the next start makes a new one`
    )
  }
  const { buffer, bytesRead } = await opened.read({ buffer: Buffer.alloc(MAX_FILE_BYTES) })
  const token = buffer.toString('latin1', 0, bytesRead).trim()
  if (TOKEN.test(token)) return token
  throw new AdminTokenError('ADMIN_TOKEN_INVALID', `${path} holds no admin token; remove it to have a new one made`)
}

/** Written beside its place and linked there, so that the name never stands for a part of a token. */
async function createToken(path: string): Promise<string> {
  const temporary = `${path}.${randomBytes(8).toString('hex')}.tmp`
  const token = randomBytes(TOKEN_BYTES).toString('base64url')
  try {
    {
      await using file = await open(temporary, 'wx', OWNER_ONLY)
      await file.writeFile(`${token}\n`)
      await file.sync()
    }
    await link(temporary, path)
    return token
  } finally {
    await rm(temporary, { force: true })
  }
}
