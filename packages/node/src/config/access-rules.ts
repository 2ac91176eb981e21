import { isLoopback } from './addresses.ts'
import type { NodeConfig } from './node-config.ts'
import type { RuleBreak } from './rule-break.ts'

type AccessConfig = NonNullable<NodeConfig['access']>

/** The first rule about access control that the configuration breaks. */
export function findAccessBreak(config: NodeConfig): RuleBreak | undefined {
  const { access } = config
  if (access === undefined) return undefined
  return (
    openPasswords(config) ?? certificatesOfNobody(config) ?? providersLikeEachOther(access) ?? groupOfNobody(access)
  )
}

/** Whoever listens to the network would have the passwords. */
function openPasswords({ registry }: NodeConfig): RuleBreak | undefined {
  const { listen, tls, behindTlsProxy } = registry
  if (isLoopback(listen.host) || tls !== undefined || behindTlsProxy) return undefined
  const message =
    `passwords would cross the network in plain text to ${listen.host}: set registry.tls, or ` +
    'registry.behindTlsProxy: true if a proxy before it ends TLS, or listen on loopback'
  return { code: 'OPEN_PASSWORDS', path: ['registry', 'listen'], message }
}

function certificatesOfNobody({ access, registry }: NodeConfig): RuleBreak | undefined {
  if (access?.clientCertificates === undefined || registry.tls?.clientCa !== undefined) return undefined
  const message = 'expected registry.tls.clientCa too, which names who may sign them'
  return { code: 'INVALID_VALUE', path: ['access', 'clientCertificates'], message }
}

/** Two providers with one prefix could name each other's users. */
function providersLikeEachOther({ oidc }: AccessConfig): RuleBreak | undefined {
  for (const [index, { issuer, prefix }] of oidc.entries()) {
    const before = oidc.slice(0, index)
    const path = ['access', 'oidc', index]
    if (before.some((other) => other.issuer === issuer)) {
      return { code: 'INVALID_VALUE', path: [...path, 'issuer'], message: 'this issuer is named already' }
    }
    if (before.some((other) => other.prefix === prefix)) {
      const message = 'expected another prefix than those of other issuers, whose users would be taken for these'
      return { code: 'INVALID_VALUE', path: [...path, 'prefix'], message }
    }
  }
  return undefined
}

/** A group that nobody can be in is a misspelt one. */
function groupOfNobody({ rules, groups, oidc }: AccessConfig): RuleBreak | undefined {
  const isKnown = (group: string) =>
    Object.hasOwn(groups, group) || oidc.some(({ prefix, groupsClaim }) => groupsClaim && group.startsWith(prefix))
  for (const [rule, { grant }] of rules.entries()) {
    for (const [index, { groups: named = [] }] of grant.entries()) {
      const at = named.findIndex((group) => !isKnown(group))
      if (at < 0) continue
      const message = `there is no group ${named[at]} in access.groups, nor an issuer with a groupsClaim and this prefix`
      return { code: 'INVALID_VALUE', path: ['access', 'rules', rule, 'grant', index, 'groups', at], message }
    }
  }
  return undefined
}
