import { join, resolve } from 'node:path'
import type { AccessRule, CertificateName, OidcSettings } from '@layermesh/access'
import type { SpaceLimit } from '@layermesh/content'
import type { RetentionRule } from '../retention/retention-rules.ts'
import { type ListenAddress, parseListenAddress } from './addresses.ts'
import type { Settings } from './schema.ts'
import { parseDuration, parseRate, parseShare, parseSize, parseSpace } from './units.ts'
import { toUpstreams, type UpstreamsConfig } from './upstream-config.ts'

/** What a node runs with: the settings, checked and read into units once. Deeply frozen. */
export interface NodeConfig {
  readonly role: Settings['role']
  /** Absolute. */
  readonly dataDir: string
  readonly zone: string
  readonly registry: {
    readonly listen: ListenAddress
    readonly mirrorListen?: ListenAddress
    /** Scheme, host and port. */
    readonly publicUrl?: string
    /** Absolute paths. */
    readonly tls?: {
      readonly certificate: string
      readonly key: string
      readonly clientCa?: string
      readonly requireClientCertificate: boolean
    }
    readonly behindTlsProxy: boolean
    readonly ownHosts: readonly string[]
    readonly readOnly: boolean
    readonly deletes: boolean
  }
  /** Undefined where everybody may do everything. */
  readonly access?: {
    /** Absolute. */
    readonly htpasswd?: string
    readonly oidc: readonly (OidcSettings & { readonly prefix: string; readonly caFile?: string })[]
    readonly clientCertificates?: { readonly name: CertificateName }
    readonly groups: Readonly<Record<string, readonly string[]>>
    readonly challenge: 'token' | 'basic'
    readonly tokenValidityMs: number
    readonly refreshTokenValidityMs: number
    readonly rules: readonly AccessRule[]
  }
  readonly admin: { readonly listen: ListenAddress; readonly hosts: readonly string[] }
  readonly mesh: {
    readonly listen: readonly string[]
    readonly announce: readonly string[]
    readonly join: readonly string[]
    /** Absolute; read it with `readClusterSecrets`. */
    readonly secretFile?: string
    /** Absolute; read it with `readTicketFile`. */
    readonly ticketFile?: string
    readonly admission: Settings['mesh']['admission']
    readonly allowWithoutSecret: boolean
    readonly maxPeers: number
    readonly prefetchFrom: Settings['mesh']['prefetchFrom']
  }
  readonly trust: readonly {
    readonly peerId: string
    /** Undefined: all of the mesh's own, and all that is mirrored. */
    readonly repositories?: readonly string[] | undefined
  }[]
  readonly seedSet: {
    /** Peer id. */
    readonly root?: string
    /** Absolute. */
    readonly file?: string
  }
  readonly tags: {
    readonly validityMs: number
    readonly immutable: readonly { readonly repositories: string; readonly tags: string }[]
  }
  readonly freshness: readonly {
    readonly repositories: string
    readonly maxAgeMs: number
    readonly maxStaleMs: number
  }[]
  readonly store: {
    /** Absolute. */
    readonly containerd?: string
    readonly maxSize?: SpaceLimit
    readonly minFree: SpaceLimit
    readonly keepFree: SpaceLimit
    /** Shares of `maxSize`. */
    readonly highWatermark: number
    readonly lowWatermark: number
    readonly leaseMs: number
    /** `everyMs` is 0 where it is only done when asked to. */
    readonly garbage: { readonly everyMs: number; readonly graceMs: number; readonly unfinishedAfterMs: number }
    /** `everyMs` is 0 where it is only done when asked to. */
    readonly verify: { readonly everyMs: number; readonly bytesPerSecond: number }
  }
  readonly retention: RetentionConfig
  readonly uploads: { readonly maxSessions: number; readonly idleTimeoutMs: number }
  readonly pull: { readonly deadlineMs: number }
  readonly upstreams: UpstreamsConfig
  /** Bytes per second; Infinity where there is no limit. */
  readonly limits: {
    readonly download: number
    readonly upload: number
    readonly farDownload: number
    readonly farUpload: number
  }
  readonly webhooks: readonly WebhookConfig[]
  readonly audit: {
    /** The file is absolute. */
    readonly to: 'off' | 'stdout' | { readonly file: string }
    readonly pulls: boolean
    readonly maxBytes: number
    readonly keep: number
  }
  readonly log: Settings['log']
}

/** What a seed removes of its own repositories. */
export interface RetentionConfig {
  /** 0 for only when asked. */
  readonly everyMs: number
  readonly rules: readonly RetentionRule[]
}

/** One receiver of events; its files are absolute. */
export interface WebhookConfig
  extends Omit<Settings['webhooks'][number], 'timeout' | 'secretFile' | 'headersFile' | 'caFile'> {
  readonly secretFile?: string
  readonly headersFile?: string
  readonly caFile?: string
  readonly timeoutMs: number
}

/** Reads checked settings into units; relative paths count from the working directory. */
export function toNodeConfig(settings: Settings): NodeConfig {
  const { registry, access, admin, mesh, seedSet, tags, freshness, store, uploads, pull, upstreams, limits, ...rest } =
    settings
  const { secretFile, ticketFile, ...meshRest } = mesh
  return deepFreeze({
    ...rest,
    dataDir: resolve(settings.dataDir),
    registry: toRegistry(registry),
    ...(access === undefined ? {} : { access: toAccess(access) }),
    admin: { ...admin, listen: must(parseListenAddress(admin.listen)) },
    mesh: {
      ...meshRest,
      ...(secretFile === undefined ? {} : { secretFile: resolve(secretFile) }),
      ...(ticketFile === undefined ? {} : { ticketFile: resolve(ticketFile) })
    },
    seedSet: {
      ...(seedSet.root === undefined ? {} : { root: seedSet.root }),
      ...(seedSet.file === undefined ? {} : { file: resolve(seedSet.file) })
    },
    tags: { validityMs: must(parseDuration(tags.validity)), immutable: tags.immutable },
    freshness: freshness.map(({ repositories, maxAge, maxStale }) => ({
      repositories,
      maxAgeMs: must(parseDuration(maxAge)),
      maxStaleMs: must(parseDuration(maxStale))
    })),
    store: toStore(store),
    retention: toRetention(settings.retention),
    uploads: { maxSessions: uploads.maxSessions, idleTimeoutMs: must(parseDuration(uploads.idleTimeout)) },
    pull: { deadlineMs: must(parseDuration(pull.deadline)) },
    upstreams: toUpstreams(upstreams),
    webhooks: settings.webhooks.map(webhookConfig),
    audit: auditConfig(settings),
    limits: {
      download: rateOf(limits.download),
      upload: rateOf(limits.upload),
      farDownload: rateOf(limits.farDownload),
      farUpload: rateOf(limits.farUpload)
    }
  })
}

function toStore({
  maxSize,
  minFree,
  keepFree,
  highWatermark,
  lowWatermark,
  lease,
  containerd,
  garbage,
  verify
}: Settings['store']): NodeConfig['store'] {
  return {
    ...(containerd === undefined ? {} : { containerd: resolve(containerd) }),
    ...(maxSize === undefined ? {} : { maxSize: must(parseSpace(maxSize)) }),
    minFree: must(parseSpace(minFree)),
    keepFree: must(parseSpace(keepFree)),
    highWatermark: must(parseShare(highWatermark)),
    lowWatermark: must(parseShare(lowWatermark)),
    leaseMs: must(parseDuration(lease)),
    garbage: {
      everyMs: must(parseDuration(garbage.every)),
      graceMs: must(parseDuration(garbage.grace)),
      unfinishedAfterMs: must(parseDuration(garbage.unfinishedAfter))
    },
    verify: { everyMs: must(parseDuration(verify.every)), bytesPerSecond: must(parseRate(verify.rate)) }
  }
}

function toRetention({ every, rules }: Settings['retention']): RetentionConfig {
  return {
    everyMs: must(parseDuration(every)),
    rules: rules.map(({ repositories, tags, keepLast, keepYoungerThan, untagged }) => ({
      repositories,
      tags,
      ...(keepLast === undefined ? {} : { keepLast }),
      ...(keepYoungerThan === undefined ? {} : { keepYoungerThanMs: must(parseDuration(keepYoungerThan)) }),
      ...(untagged === undefined ? {} : { untaggedAfterMs: must(parseDuration(untagged.olderThan)) })
    }))
  }
}

function toRegistry({ mirrorListen, publicUrl, tls, ...registry }: Settings['registry']): NodeConfig['registry'] {
  const origin = publicUrl === undefined ? undefined : new URL(publicUrl)
  return {
    ...registry,
    listen: must(parseListenAddress(registry.listen)),
    ownHosts: origin === undefined ? registry.ownHosts : [...registry.ownHosts, origin.host],
    ...(mirrorListen === undefined ? {} : { mirrorListen: must(parseListenAddress(mirrorListen)) }),
    ...(origin === undefined ? {} : { publicUrl: origin.origin }),
    ...(tls === undefined ? {} : { tls: toTls(tls) })
  }
}

function toTls({
  certificate,
  key,
  clientCa,
  requireClientCertificate
}: Required<Settings['registry']>['tls'] & object) {
  const files = { certificate: resolve(certificate), key: resolve(key) }
  return { ...files, ...(clientCa === undefined ? {} : { clientCa: resolve(clientCa) }), requireClientCertificate }
}

function auditConfig({ audit: { file, pulls, maxSize, keep }, dataDir }: Settings): NodeConfig['audit'] {
  const path = resolve(file ?? join(dataDir, 'audit.log'))
  const to = file === 'off' ? file : file === '-' ? 'stdout' : { file: path }
  return { to, pulls, maxBytes: must(parseSize(maxSize)), keep }
}

function webhookConfig({
  timeout,
  secretFile,
  headersFile,
  caFile,
  ...rest
}: Settings['webhooks'][number]): WebhookConfig {
  return {
    ...rest,
    timeoutMs: must(parseDuration(timeout)),
    ...(secretFile === undefined ? {} : { secretFile: resolve(secretFile) }),
    ...(headersFile === undefined ? {} : { headersFile: resolve(headersFile) }),
    ...(caFile === undefined ? {} : { caFile: resolve(caFile) })
  }
}

function toAccess({
  htpasswd,
  oidc,
  clientCertificates,
  tokenValidity,
  refreshTokenValidity,
  ...access
}: NonNullable<Settings['access']>): NonNullable<NodeConfig['access']> {
  return {
    ...access,
    ...(htpasswd === undefined ? {} : { htpasswd: resolve(htpasswd) }),
    oidc: oidc.map(({ groupsClaim, caFile, ...issuer }) => ({
      ...issuer,
      ...(groupsClaim === undefined ? {} : { groupsClaim }),
      ...(caFile === undefined ? {} : { caFile: resolve(caFile) })
    })),
    ...(clientCertificates === undefined ? {} : { clientCertificates }),
    tokenValidityMs: must(parseDuration(tokenValidity)),
    refreshTokenValidityMs: must(parseDuration(refreshTokenValidity))
  }
}

function rateOf(text: string | undefined): number {
  return text === undefined ? Number.POSITIVE_INFINITY : must(parseRate(text))
}

/** The schema has checked the text, so that it can be read. */
function must<T>(value: T | undefined): T {
  if (value === undefined) throw new TypeError('the settings were not checked')
  return value
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const child of Object.values(value)) deepFreeze(child)
  return Object.freeze(value)
}
