import { isOciError, normalizeRegistryHost } from '@layermesh/oci'
import { isTrustError, RepositoryPattern } from '@layermesh/trust'
import { z } from 'zod'
import { isJoinAddress, parseListenAddress, parseTcpMultiaddr } from './addresses.ts'
import { parseDuration, parseRate, parseSize } from './units.ts'

/* What values of settings look like, and what an operator is told of those that do not. */

/** An Ed25519 peer id: a base58 multihash of 38 bytes that starts with the same six. */
const PEER_ID = /^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/

/** Strings of one shape, described by what an operator would have to write instead. */
export function shaped(expected: string, fits: (text: string) => boolean) {
  const error = `expected ${expected}`
  return z.string({ error }).refine(fits, { error })
}

export const duration = shaped('a duration such as 800ms, 10s, 24h or 30d', (text) => parseDuration(text) !== undefined)
export const positiveDuration = duration.refine((text) => parseDuration(text) !== 0, { error: 'expected more than 0' })
export const size = shaped('a size such as 64MiB', (text) => parseSize(text) !== undefined)
export const rate = shaped('a rate such as 50MiB/s or 400Mbit/s', (text) => (parseRate(text) ?? 0) > 0).optional()
export const listenAddress = shaped(
  'HOST:PORT, such as 127.0.0.1:5000',
  (text) => parseListenAddress(text) !== undefined
)
export const multiaddr = shaped(
  'a TCP multiaddr such as /ip4/127.0.0.1/tcp/5002',
  (text) => parseTcpMultiaddr(text) !== undefined
)
export const joinAddress = shaped(
  'a multiaddr such as /ip4/10.0.0.1/tcp/5002, or NAME:PORT of a headless service',
  isJoinAddress
)
export const peerId = shaped('a peer id, as `layermesh keys show` prints it (12D3KooW…)', (text) => PEER_ID.test(text))
export const repositories = shaped(
  'a pattern such as team/*, ** or docker.io/library/*',
  succeeds((text) => new RepositoryPattern(text))
)
export const registryHost = shaped(
  'a registry host such as registry.example or localhost:5000',
  succeeds(normalizeRegistryHost)
)
export const hostName = shaped('a host name without port', (text) => parseListenAddress(`${text}:0`) !== undefined)
export const path = shaped('a path', (text) => text.length > 0 && !text.includes('\0'))
export const count = (limit: number) => z.int().min(1).max(limit)

/** Tells whether `read` takes a text. */
export function succeeds(read: (text: string) => unknown): (text: string) => boolean {
  return (text) => {
    try {
      read(text)
      return true
    } catch (error) {
      if (isOciError(error) || isTrustError(error) || error instanceof TypeError) return false
      throw error
    }
  }
}
