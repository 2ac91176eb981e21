import type { Digest, Tag } from '@layermesh/oci'
import type { HeldManifest, HeldTag, RepositoryContents } from './repository-contents.ts'

/** `sha256-HEX` and, as cosign has it, `sha256-HEX.sig` (distribution-spec §Referrers Tag Schema). */
const SUBJECT_TAG = /^(sha256-[0-9a-f]{64}|sha512-[0-9a-f]{128})(?:[._-].*)?$/

/** The digest that a tag is about by its name: its manifest goes with that of the digest. Undefined of other tags. */
export function subjectOfTag(tag: Tag): Digest | undefined {
  return SUBJECT_TAG.exec(tag)?.[1]?.replace('-', ':') as Digest | undefined
}

/** What of a repository nothing needs any more. */
export interface Unneeded {
  readonly manifests: readonly Digest[]
  /** Tags about manifests that are not here. */
  readonly tags: readonly HeldTag[]
}

/**
 * What may go of a repository: manifests that are older than `afterMs` and that nothing needs. Needed are those that a tag
 * means or the operator pinned, those that are younger or of unknown age, and, of all of these, the manifests that an index names, the subject
 * that a manifest refers to, and what refers to a manifest. Tags that are about a manifest by their name need nothing
 * themselves; they go after it.
 * @param now in ms since 1970
 */
export function findUnneeded({ tags, manifests, pinned }: RepositoryContents, afterMs: number, now: number): Unneeded {
  const isYoung = (at: number | undefined) => at === undefined || now - at < afterMs
  const roots = [
    ...pinned,
    ...tags.filter(({ tag, changedAt }) => subjectOfTag(tag) === undefined || isYoung(changedAt)).map(digestOf),
    ...[...manifests.values()].filter(({ at }) => isYoung(at)).map(digestOf)
  ]
  const needed = reach(roots, manifests, dependents(tags, manifests))
  const tagged = new Set(tags.map(digestOf))
  return {
    manifests: [...manifests.keys()].filter((digest) => !needed.has(digest) && !tagged.has(digest)),
    tags: tags.filter(({ tag, changedAt }) => {
      const subject = subjectOfTag(tag)
      return subject !== undefined && !manifests.has(subject) && !isYoung(changedAt)
    })
  }
}

function digestOf({ digest }: { readonly digest: Digest }): Digest {
  return digest
}

/** By a digest, what is about it: manifests that refer to it, and what tags with its name mean. */
function dependents(
  tags: readonly HeldTag[],
  manifests: ReadonlyMap<Digest, HeldManifest>
): ReadonlyMap<Digest, readonly Digest[]> {
  const about = new Map<Digest, Digest[]>()
  const add = (subject: Digest | undefined, digest: Digest) => {
    if (subject === undefined) return
    const others = about.get(subject)
    if (others === undefined) about.set(subject, [digest])
    else others.push(digest)
  }
  for (const { digest, subject } of manifests.values()) add(subject, digest)
  for (const { tag, digest } of tags) add(subjectOfTag(tag), digest)
  return about
}

function reach(
  roots: readonly Digest[],
  manifests: ReadonlyMap<Digest, HeldManifest>,
  about: ReadonlyMap<Digest, readonly Digest[]>
): ReadonlySet<Digest> {
  const reached = new Set<Digest>()
  const waiting = [...roots]
  for (let digest = waiting.pop(); digest !== undefined; digest = waiting.pop()) {
    if (reached.has(digest)) continue
    reached.add(digest)
    const { children = [], subject } = manifests.get(digest) ?? {}
    // One by one: there may be more than a call takes arguments.
    for (const next of children) waiting.push(next)
    for (const next of about.get(digest) ?? []) waiting.push(next)
    if (subject !== undefined) waiting.push(subject)
  }
  return reached
}
