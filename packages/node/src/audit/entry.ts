/*
 * One line of the audit log. AUDIT.md follows from the two tables here.
 */

/** What is told, by field. */
export interface AuditEntry {
  /** RFC 3339. */
  readonly time: string
  /** Peer id of the node that writes the line. */
  readonly node: string
  readonly action: AuditAction
  readonly result: 'allowed' | 'denied' | 'failed'
  readonly actor?: string
  readonly address?: string
  readonly repository?: string
  readonly reference?: string
  readonly digest?: string
  readonly from?: string
  readonly reason?: string
  readonly requestId?: string
  readonly via?: string
  readonly userAgent?: string
  readonly details?: Readonly<Record<string, unknown>>
}

/** What is handed in; where and when is added. */
export type AuditRecord = Omit<AuditEntry, 'time' | 'node'>

export const AUDIT_ACTIONS = Object.freeze({
  login: 'Somebody proved who they are, or could not. `details.source` tells by what.',
  push: 'A blob or manifest was pushed; once for each tag of a push.',
  pull: 'A client took a blob or manifest. Told when denied, and with `audit.pulls: true` when allowed.',
  mount: 'A blob of another repository was put into this one.',
  delete: 'A blob, manifest or tag was deleted.',
  'tag.set': 'This seed signed a tag that was not there before, or again what it means already.',
  'tag.moved': 'This seed signed that a tag means another manifest than before.',
  'tag.deleted': 'This seed signed that a tag is deleted.',
  'tag.restored': 'This seed signed a tag that was deleted before.',
  'peer.banned': 'A peer that lied or broke a protocol was shut out.',
  admin:
    'Somebody had the admin API change something, or was refused for want of its token: keys, revocations, seed sets, redelivery. `reference` has method and path, `details` the input.'
})

export type AuditAction = keyof typeof AUDIT_ACTIONS

export const AUDIT_FIELDS: Readonly<Record<keyof AuditEntry, string>> = Object.freeze({
  time: 'RFC 3339, of this node’s clock.',
  node: 'Peer id of the node that writes the line.',
  action: 'What was asked for: one of the table above.',
  result:
    '`allowed`: it was done. `denied`: a rule or a wrong credential stood against it. `failed`: it could not be done.',
  actor: 'Name of the user; not there for the anonymous.',
  address: 'IP address of the client; of what a node passed on, not there.',
  repository: 'The repository, with the registry host for a mirrored one.',
  reference: 'Tag, digest or, of `admin`, method and path; of `peer.banned` the peer id.',
  digest: 'Digest of the content, where it is known.',
  from: 'The repository that a blob was mounted from.',
  reason: 'Why it was denied or failed.',
  requestId: 'The same for all lines of one client’s request but `tag.*`, and in the data of webhooks.',
  via: 'Peer id of the node that passed it on to this seed for its client.',
  userAgent: 'What the client called itself.',
  details: 'More, by action. Values that may be secret are replaced by `[hidden]`.'
})
