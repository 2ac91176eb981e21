import { isIP } from 'node:net'

/** Where an HTTP listener waits; port 0 lets the system choose. */
export interface ListenAddress {
  /** A name or an IP address, without brackets. */
  readonly host: string
  readonly port: number
}

const MAX_PORT = 65_535
const NAME = /^[a-zA-Z0-9_]([a-zA-Z0-9_.-]{0,252})$/
const HOST_AND_PORT = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/\s[\]]+)):([0-9]{1,5})$/
const MULTIADDR = /^\/(ip4|ip6|dns|dns4|dns6)\/([^/]+)\/tcp\/([0-9]{1,5})(?:\/p2p\/([1-9A-HJ-NP-Za-km-z]{32,64}))?$/

/** Reads `HOST:PORT`, an IPv6 address in brackets; undefined when it is none. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const [, bracketed, bare, digits] = HOST_AND_PORT.exec(text) ?? []
  const port = Number(digits)
  const host = bracketed ?? bare
  if (host === undefined || port > MAX_PORT) return undefined
  const known = bracketed === undefined ? isIP(host) === 4 || isHostName(host) : isIP(host) === 6
  return known ? { host, port } : undefined
}

/** Writes `HOST:PORT` as URLs and {@link parseListenAddress} have it. */
export function formatHostPort({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** A multiaddr of the one transport there is: TCP at an IP address or a name. */
export interface TcpMultiaddr extends ListenAddress {
  readonly peerId?: string
}

/** Reads `/ip4/…/tcp/PORT`, `/ip6/…`, `/dns4/…`, with or without `/p2p/PEER_ID`; undefined when it is none. */
export function parseTcpMultiaddr(text: string): TcpMultiaddr | undefined {
  const [, kind, host, digits, peerId] = MULTIADDR.exec(text) ?? []
  const port = Number(digits)
  if (kind === undefined || host === undefined || port > MAX_PORT) return undefined
  const fits = kind === 'ip4' ? isIP(host) === 4 : kind === 'ip6' ? isIP(host) === 6 : isHostName(host)
  if (!fits) return undefined
  return { host, port, ...(peerId === undefined ? {} : { peerId }) }
}

/** Tells whether this names a place to join: a multiaddr, or `NAME:PORT`, `dns:NAME:PORT` of a headless service. */
export function isJoinAddress(text: string): boolean {
  const place = text.startsWith('/') ? parseTcpMultiaddr(text) : parseListenAddress(text.replace(/^dns:/, ''))
  return place !== undefined && place.port > 0
}

/** Tells whether only this machine can reach a listener at `host`. A name counts when it is `localhost`. */
export function isLoopback(host: string): boolean {
  if (isIP(host) === 4) return host.startsWith('127.')
  return host === '::1' || host.toLowerCase() === 'localhost'
}

function isHostName(text: string): boolean {
  return NAME.test(text) && !/^[0-9.]+$/.test(text)
}
