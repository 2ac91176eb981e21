import { findAccessBreak } from './access-rules.ts'
import { isLoopback, parseTcpMultiaddr } from './addresses.ts'
import type { NodeConfig } from './node-config.ts'
import type { RuleBreak } from './rule-break.ts'

/** The first rule that the configuration breaks; undefined when it keeps them all. */
export function findRuleBreak(config: NodeConfig): RuleBreak | undefined {
  return (
    findAccessBreak(config) ??
    openMesh(config) ??
    nothingToShow(config) ??
    staleBeforeOld(config) ??
    watermarksInDisorder(config) ??
    setWithoutRoot(config) ??
    requiredWithoutCa(config) ??
    sameUpstreamTwice(config) ??
    webhookOfSameName(config) ??
    unsignedWebhook(config)
  )
}

/** What an operator should know of a configuration that works. */
export function warningsOf({ role, trust, seedSet, registry, access, webhooks, retention }: NodeConfig): string[] {
  const warnings: string[] = []
  if (role === 'node' && retention.rules.length > 0) {
    warnings.push('retention.rules do nothing on a node that is no seed')
  }
  if (role === 'node' && trust.length === 0 && seedSet.root === undefined) {
    warnings.push('no seed is trusted, so that images can be pulled by digest only; name one with --trust PEER_ID')
  }
  if (access === undefined && !registry.readOnly && !isLoopback(registry.listen.host)) {
    warnings.push(
      'whoever reaches registry.listen may push; say who may in `access`, listen on loopback, or set registry.readOnly: true'
    )
  }
  for (const { name, url, allowPrivateAddresses } of webhooks) {
    if (url.startsWith('https:') || allowPrivateAddresses) continue
    warnings.push(`what the webhook ${name} sends can be read on its way; give it an https: URL`)
  }
  return warnings
}

/** Whoever reaches a mesh without a secret is a member: that must be wanted in so many words. */
function openMesh({ mesh }: NodeConfig): RuleBreak | undefined {
  if (mesh.admission !== 'secret' || mesh.secretFile !== undefined || mesh.allowWithoutSecret) return undefined
  const index = mesh.listen.findIndex((address) => !isLoopback(parseTcpMultiaddr(address)?.host ?? ''))
  if (index < 0) return undefined
  const message =
    `other hosts could join through ${mesh.listen[index]}, and there is no cluster secret: name its file with ` +
    '--secret-file (make one with `layermesh secret new`), ask for tickets with mesh.admission: ticket, or set ' +
    'mesh.allowWithoutSecret: true to let everybody in'
  return { code: 'OPEN_MESH', path: ['mesh', 'listen', index], message }
}

/** Other nodes would not let it in. A seed that they trust needs no ticket. */
function nothingToShow({ role, mesh: { admission, secretFile, ticketFile } }: NodeConfig): RuleBreak | undefined {
  if (role === 'seed' || admission === 'secret' || ticketFile !== undefined) return undefined
  if (admission === 'either' && secretFile !== undefined) return undefined
  const message =
    'expected mesh.ticketFile too: without a ticket no other node lets this one in; ' +
    'have a seed make one with `layermesh ticket new --peer PEER_ID`'
  return { code: 'INVALID_VALUE', path: ['mesh', 'admission'], message }
}

/** Room would be made without end. */
function watermarksInDisorder({ store }: NodeConfig): RuleBreak | undefined {
  if (store.lowWatermark < store.highWatermark) return undefined
  const message = 'expected less than store.highWatermark: room is made from that down to this'
  return { code: 'INVALID_VALUE', path: ['store', 'lowWatermark'], message }
}

/** Nobody could connect. */
function requiredWithoutCa({ registry }: NodeConfig): RuleBreak | undefined {
  if (!registry.tls?.requireClientCertificate || registry.tls.clientCa !== undefined) return undefined
  const message = 'expected registry.tls.clientCa too, which names who may sign certificates of clients'
  return { code: 'INVALID_VALUE', path: ['registry', 'tls', 'requireClientCertificate'], message }
}

/** Whose word a set is has to be said apart from the set. */
function setWithoutRoot({ seedSet }: NodeConfig): RuleBreak | undefined {
  if (seedSet.file === undefined || seedSet.root !== undefined) return undefined
  return {
    code: 'INVALID_VALUE',
    path: ['seedSet', 'file'],
    message: 'expected seedSet.root beside it, the peer id of the key that signed it'
  }
}

function staleBeforeOld({ freshness }: NodeConfig): RuleBreak | undefined {
  const index = freshness.findIndex(({ maxAgeMs, maxStaleMs }) => maxStaleMs < maxAgeMs)
  if (index < 0) return undefined
  return { code: 'INVALID_VALUE', path: ['freshness', index, 'maxStale'], message: 'expected no less than maxAge' }
}

/** Docker Hub has several names, and case means nothing. */
function sameUpstreamTwice({ upstreams: { registries } }: NodeConfig): RuleBreak | undefined {
  const twice = registries.find(({ host }, at) => registries.findIndex((other) => other.host === host) < at)
  if (twice === undefined) return undefined
  const message = `names ${twice.host} twice, by another spelling; leave one of them`
  return { code: 'INVALID_VALUE', path: ['upstreams', 'registries'], message }
}

function webhookOfSameName({ webhooks }: NodeConfig): RuleBreak | undefined {
  const index = webhooks.findIndex(({ name }, at) => webhooks.findIndex((other) => other.name === name) < at)
  if (index < 0) return undefined
  return { code: 'INVALID_VALUE', path: ['webhooks', index, 'name'], message: 'another webhook has this name' }
}

/** Whoever finds out the URL of a receiver could tell it anything. */
function unsignedWebhook({ webhooks }: NodeConfig): RuleBreak | undefined {
  const index = webhooks.findIndex(({ format, secretFile }) => format !== 'docker' && secretFile === undefined)
  if (index < 0) return undefined
  const message = 'is needed to sign events; make one with: (umask 077; openssl rand -base64 32 > FILE)'
  return { code: 'INVALID_VALUE', path: ['webhooks', index, 'secretFile'], message }
}
