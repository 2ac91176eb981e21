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

/**
 * What an operator is told of a token service that may not be asked ({@link safeRealm}), and what to do about it.
 * @param registry as repositories name it
 */
export function explainUnsafeRealm(text: string, registry: string): string {
  const realm = text.length > MAX_REALM_LENGTH ? null : URL.parse(text)
  if (realm === null || realm.username + realm.password !== '' || !/^https?:$/.test(realm.protocol)) {
    return `${registry} names a token service that can not be asked`
  }
  const setting = `upstreams: { registries: { '${registry}': { realmHosts: ['${realm.hostname}'] } } }`
  return (
    `${registry} has its token service at ${realm.protocol}//${realm.hostname}, where it may be somebody else's: nothing is ` +
    `shown there. If it is the right one, and by https, set ${setting}`
  )
}

/** Whether two names are below one that somebody registered, as no address is; those that hosters give away are apart. */
async function haveSameOwner(one: string, other: string): Promise<boolean> {
  const { getDomain } = await import('tldts')
  const domain = getDomain(one, { allowPrivateDomains: true })
  return domain !== null && domain === getDomain(other, { allowPrivateDomains: true })
}
