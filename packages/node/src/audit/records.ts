import { isOciError } from '@layermesh/oci'
import type { RegistryEvent, RegistryRefusal } from '@layermesh/registry'
import type { WebhookEvent } from '@layermesh/webhooks'
import type { AdminActionEvent } from '../admin/action.ts'
import { describe } from '../admin/errors.ts'
import type { PassedOnWrite } from '../tags/tag-handler.ts'
import type { AuditAction, AuditRecord } from './entry.ts'

/** What access control tells of an attempt to prove who one is. */
export interface LoginEvent {
  readonly result: 'success' | 'failure' | 'throttled'
  /** By what: a password, an API key, an identity provider, a certificate. */
  readonly source: string
  readonly name: string | undefined
  readonly address: string
}

const LOGIN_REASONS = Object.freeze({
  failure: 'the credential proves nothing',
  throttled: 'too many wrong ones came before it'
})

/** What the audit log tells of something that a client did; undefined of a chunk of a push. */
export function recordOfEvent(event: RegistryEvent): AuditRecord | undefined {
  const { action, target, digest, tag, repository, from, actor } = event
  if (digest === undefined && target === 'blob') return undefined
  return {
    action,
    result: 'allowed',
    repository,
    ...(tag === undefined ? {} : { reference: tag }),
    ...(digest === undefined ? {} : { digest }),
    ...(from === undefined ? {} : { from }),
    ...(actor === undefined ? {} : { actor }),
    ...requestOf(event)
  }
}

/** What the audit log tells of a request that the registry refused. */
export function recordOfRefusal(refusal: RegistryRefusal): AuditRecord {
  const { action, repository, reference, reason, actor } = refusal
  return {
    action,
    result: 'denied',
    ...(repository === undefined ? {} : { repository }),
    ...(reference === undefined ? {} : { reference }),
    reason,
    ...(actor === undefined ? {} : { actor }),
    ...requestOf(refusal)
  }
}

/** What the audit log tells of a request of the admin API that needs the token. */
export function recordOfAction({ method, path, input, address, error }: AdminActionEvent): AuditRecord {
  const details = typeof input === 'object' && input !== null ? { details: { ...input } } : {}
  const reference = `${method} ${path}`
  if (error === undefined) return { action: 'admin', result: 'allowed', reference, address, ...details }
  const { code, message } = describe(error)
  const result = code === 'ADMIN_TOKEN_NEEDED' ? 'denied' : 'failed'
  return { action: 'admin', result, reference, address, reason: message, ...details }
}

/** What the audit log tells of a login. */
export function recordOfLogin({ result, source, name, address }: LoginEvent): AuditRecord {
  const actor = name === undefined ? {} : { actor: name }
  const details = { source }
  if (result === 'success') return { action: 'login', result: 'allowed', ...actor, address, details }
  return { action: 'login', result: 'denied', ...actor, address, reason: LOGIN_REASONS[result], details }
}

/** What the audit log of a seed tells of what a node passed on. */
export function recordsOfPassedOn({ from: via, actor, write, error }: PassedOnWrite): AuditRecord[] {
  const outcome =
    error === undefined
      ? ({ result: 'allowed' } as const)
      : {
          result:
            isOciError(error, 'DENIED') || isOciError(error, 'UNAUTHORIZED')
              ? ('denied' as const)
              : ('failed' as const),
          reason: describe(error).message
        }
  const by = { via, ...(actor === undefined ? {} : { actor }), ...outcome }
  if ('push' in write) {
    const { repository, manifest, tags } = write.push
    const push = { action: 'push', repository, digest: manifest.digest, ...by } as const
    return tags.length === 0 ? [push] : tags.map((reference) => ({ ...push, reference }))
  }
  const { repository, reference } = write.deletion
  return [{ action: 'delete', repository, reference, ...by }]
}

/** What the audit log of a seed tells of a tag that it signed, by what receivers are told of it. */
export function recordOfTagChange({ name, data }: WebhookEvent): AuditRecord {
  const { repository, tag, digest, previousDigest, tagSequence, actor, via } = data as Partial<
    Record<'repository' | 'tag' | 'digest' | 'previousDigest' | 'actor' | 'via', string> & { tagSequence: number }
  >
  const known = { repository, reference: tag, digest, actor, via }
  const details = Object.entries({ previousDigest, tagSequence }).filter(([, value]) => value !== undefined)
  return {
    action: name as AuditAction,
    result: 'allowed',
    ...Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined)),
    details: Object.fromEntries(details)
  }
}

export function recordOfBan(peerId: string, reason: string, until: string): AuditRecord {
  return { action: 'peer.banned', result: 'denied', reference: peerId, reason, details: { until } }
}

function requestOf({ id, remoteAddress, userAgent }: RegistryEvent | RegistryRefusal) {
  return { requestId: id, address: remoteAddress, ...(userAgent === undefined ? {} : { userAgent }) }
}
