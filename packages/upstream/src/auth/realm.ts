/** Of the registry whose token service it is. */
export interface RealmRules {
  /** The registry itself. */
  readonly origin: URL
  /** Hosts that the operator named, in small letters. */
  readonly realmHosts: readonly string[]
}

const MAX_REALM_LENGTH = 2_048

/**
 * The token service that a challenge names, if credentials may be shown there: at the registry's own host, at one of the
 * same registrable domain (CVE-2026-33540, CVE-2026-48978), or at one that the operator named; by https, unless the
 * registry itself is not. Where its name leads to is for the connection to judge.
 * @returns undefined when it may not be asked
 */
export async function safeRealm(text: string, { origin, realmHosts }: RealmRules): Promise<URL | undefined> {
  const realm = text.length > MAX_REALM_LENGTH ? null : URL.parse(text)
  if (realm === null || realm.username + realm.password !== '') return undefined
  if (realm.protocol !== 'https:' && !(realm.protocol === 'http:' && origin.protocol === 'http:')) return undefined
  realm.hash = ''
  if (realm.hostname === origin.hostname || realmHosts.includes(realm.hostname)) return realm
  return (await haveSameOwner(realm.hostname, origin.hostname)) ? realm : undefined
}

/** Whether two names are below one that somebody registered, as no address is; those that hosters give away are apart. */
async function haveSameOwner(one: string, other: string): Promise<boolean> {
  const { getDomain } = await import('tldts')
  const domain = getDomain(one, { allowPrivateDomains: true })
  return domain !== null && domain === getDomain(other, { allowPrivateDomains: true })
}
