import type { MembershipPolicy } from '../interfaces.ts'

/**
 * A policy of cluster secrets alone: no tickets, nobody revoked, and it never changes.
 * @param secrets none for an open mesh
 */
export function secretsAlone(secrets: readonly Uint8Array[]): MembershipPolicy {
  return {
    admission: secrets.length === 0 ? 'open' : 'secret',
    secrets: () => secrets,
    ticket: () => undefined,
    checkTicket: async () => {
      throw new Error('this mesh has no tickets')
    },
    holds: () => false,
    needsNoTicket: () => false,
    isRevoked: () => false,
    onChange: () => () => {}
  }
}
