import { randomBytes } from 'node:crypto'
import { type FileHandle, link, mkdir, open, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  generateKeyPair,
  generateKeyPairFromSeed,
  privateKeyFromProtobuf,
  privateKeyToProtobuf
} from '@libp2p/crypto/keys'
import type { PrivateKey, PublicKey } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { TrustError } from './errors.ts'

/** What a node signs with. */
export type { PrivateKey }

/** The file of a data directory that holds the node's key: a libp2p private key in protobuf, readable by its owner only. */
export const KEY_FILE_NAME = 'identity.key'

const OWNER_ONLY = 0o600
const OTHERS_MASK = 0o077
const SEED_LENGTH = 32
/** An Ed25519 key has 68 bytes in protobuf; whatever is longer than this is none. */
const MAX_KEY_FILE_BYTES = 256

/**
 * The node's Ed25519 key, kept in its data directory. Makes directory and key when there are none; of several processes
 * that do so at once, all get the key that stays.
 * @throws {TrustError} KEY_UNREADABLE, KEY_EXPOSED, KEY_UNWRITABLE
 */
export async function loadOrCreateKey(directory: string): Promise<PrivateKey> {
  const path = join(directory, KEY_FILE_NAME)
  const existing = await loadKey(path)
  if (existing !== undefined) return existing
  await createKeyOnce(directory, path)
  const created = await loadKey(path)
  if (created !== undefined) return created
  throw new TrustError('KEY_UNREADABLE', `the key ${path} vanished while it was made`)
}

/**
 * Makes a key in a file of its own, such as the root of seed sets, for its owner only.
 * @throws {TrustError} KEY_UNWRITABLE, also when the file is there already
 */
export async function createKeyFile(path: string): Promise<PrivateKey> {
  const key = await generateKeyPair('Ed25519')
  await placeKey(dirname(path), path, key)
  return key
}

/** A key that {@link createKeyFile} made. @throws {TrustError} KEY_UNREADABLE, KEY_EXPOSED */
export async function loadKeyFile(path: string): Promise<PrivateKey> {
  const key = await loadKey(path)
  if (key !== undefined) return key
  throw new TrustError('KEY_UNREADABLE', `there is no key ${path}`)
}

/** The peer id that belongs to a key: the node's name. */
export function peerIdOf(key: { readonly publicKey: PublicKey }): string {
  return peerIdFromPublicKey(key.publicKey).toString()
}

async function loadKey(path: string): Promise<PrivateKey | undefined> {
  try {
    await using file = await open(path, 'r')
    await checkMode(file, path)
    return await parseKey(await readBounded(file), path)
  } catch (cause) {
    if (cause instanceof TrustError) throw cause
    if (errorCode(cause) === 'ENOENT') return undefined
    throw new TrustError('KEY_UNREADABLE', `cannot read the key ${path}: ${String(errorCode(cause))}`, { cause })
  }
}

async function checkMode(file: FileHandle, path: string): Promise<void> {
  const { mode } = await file.stat()
  if (process.platform === 'win32' || (mode & OTHERS_MASK) === 0) return
  throw new TrustError(
    'KEY_EXPOSED',
    `other users may use the key ${path} (mode ${(mode & 0o777).toString(8)}); if nobody has read it, run: chmod 600 ${path}`
  )
}

async function readBounded(file: FileHandle): Promise<Uint8Array> {
  const buffer = new Uint8Array(MAX_KEY_FILE_BYTES + 1)
  const { bytesRead } = await file.read(buffer, 0, buffer.length, 0)
  return buffer.subarray(0, bytesRead)
}

/** Derives the key again from its secret half: a file damaged in the public half would sign what nobody can verify. */
async function parseKey(bytes: Uint8Array, path: string): Promise<PrivateKey> {
  try {
    const { type, raw } = privateKeyFromProtobuf(bytes)
    if (type !== 'Ed25519') throw new Error(`its type is ${type}`)
    const key = await generateKeyPairFromSeed('Ed25519', raw.subarray(0, SEED_LENGTH))
    if (Buffer.compare(privateKeyToProtobuf(key), bytes) !== 0) throw new Error('its halves do not belong together')
    return key
  } catch (cause) {
    const message = `${path} holds no whole Ed25519 key; restore it, or remove it to become another peer`
    throw new TrustError('KEY_UNREADABLE', message, { cause })
  }
}

/** Makes a node's key, unless another process was quicker. */
async function createKeyOnce(directory: string, path: string): Promise<void> {
  const key = await generateKeyPair('Ed25519')
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await placeKey(directory, path, key)
  } catch (error) {
    if (!(error instanceof TrustError)) throw unwritable(path, error)
    if (errorCode(error.cause) !== 'EEXIST') throw error
  }
}

/** Writes a key beside its place, then links it there: the name appears with the whole key behind it, or was taken. */
async function placeKey(directory: string, path: string, key: PrivateKey): Promise<void> {
  const temporary = `${path}.${randomBytes(8).toString('hex')}.tmp`
  try {
    await writeDurably(temporary, privateKeyToProtobuf(key))
    await link(temporary, path)
    await syncDirectory(directory)
  } catch (cause) {
    throw unwritable(path, cause)
  } finally {
    await rm(temporary, { force: true }).catch(() => {})
  }
}

function unwritable(path: string, cause: unknown): TrustError {
  const why = errorCode(cause) === 'EEXIST' ? 'the file is there already' : String(errorCode(cause))
  return new TrustError('KEY_UNWRITABLE', `cannot write the key ${path}: ${why}`, { cause })
}

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, 'wx', OWNER_ONLY)
  await file.writeFile(bytes)
  await file.sync()
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r')
  await directory.sync()
}

function errorCode(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : error
}
