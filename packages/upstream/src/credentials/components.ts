import type { ProxyChoice } from '../proxy/proxy.ts'

/** The time in ms since 1970. */
export type Clock = () => number

export interface CredentialLog {
  debug(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/** What sources of credentials need of the node. */
export interface CredentialComponents {
  readonly clock: Clock
  readonly log: CredentialLog
  /** The environment, for programs and for what clouds put there. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Ends when the node stops, and with it whatever is being asked. */
  readonly stopped: AbortSignal
  /** By which proxy a place is asked. */
  readonly proxyFor: ProxyChoice
  /** PEM of the authorities that vouch for the registry, instead of the usual ones. */
  readonly ca?: string
}
