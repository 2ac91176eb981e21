import { randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'
import { LIMITS } from '@layermesh/mesh'
import { ConfigError } from './errors.ts'

const SECRET_BYTES = 32
const MAX_FILE_BYTES = 4_096
const OTHERS_MASK = 0o007
const BASE64URL = /^[A-Za-z0-9_-]+={0,2}$/
/** 32 random bytes hold fewer different values once in more than 10¹⁸ times; typed ones often do. */
const MIN_DIFFERENT_BYTES = 16
const MAKE_ONE = 'make one with: (umask 077; layermesh secret new > FILE)'

/** A fresh cluster secret: 256 random bits in base64url. */
export function newClusterSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url')
}

/**
 * Reads the cluster secrets from their file: one a line, and all of them count, so that a mesh can go from one to the
 * next. Each must be random, since who reaches a node can test guesses offline: at least 32 bytes in base64url, in a
 * file that other users can't read.
 * @throws {ConfigError} SECRET_UNUSABLE
 */
export async function readClusterSecrets(path: string): Promise<readonly Uint8Array[]> {
  const lines = (await readPrivateFile(path)).split(/\r?\n/)
  if (lines.length > LIMITS.secrets) {
    throw unusable(path, `holds ${lines.length} lines, and at most ${LIMITS.secrets} secrets count at one time`)
  }
  if (new Set(lines).size < lines.length) throw unusable(path, 'holds the same secret twice')
  return lines.map((line) => readSecret(line, path))
}

function readSecret(text: string, path: string): Uint8Array {
  if (!BASE64URL.test(text)) throw unusable(path, `holds no base64url text; ${MAKE_ONE}`)
  const secret = Buffer.from(text, 'base64url')
  if (secret.length < SECRET_BYTES) {
    throw unusable(path, `holds ${secret.length} bytes, and ${SECRET_BYTES} are needed; ${MAKE_ONE}`)
  }
  if (new Set(secret).size < MIN_DIFFERENT_BYTES) throw unusable(path, `holds what is not random; ${MAKE_ONE}`)
  return new Uint8Array(secret)
}

async function readPrivateFile(path: string): Promise<string> {
  try {
    await using file = await open(path, 'r')
    const { mode, size } = await file.stat()
    if (process.platform !== 'win32' && (mode & OTHERS_MASK) !== 0) {
      throw unusable(path, `can be read by every user of this machine; run: chmod o-rwx ${path}`)
    }
    if (size > MAX_FILE_BYTES) throw unusable(path, `has ${size} bytes, which is no secret; ${MAKE_ONE}`)
    return (await file.readFile('utf8')).trim()
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    throw unusable(path, `can not be read (${code}); ${MAKE_ONE}`, cause)
  }
}

function unusable(path: string, reason: string, cause?: unknown): ConfigError {
  return new ConfigError('SECRET_UNUSABLE', `the secret file ${path} ${reason}`, { key: 'mesh.secretFile', cause })
}
