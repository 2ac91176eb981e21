import type { Credential, CredentialSource, IssuedCredential } from '../interfaces.ts'
import { CachedSource } from './cached-source.ts'
import { ChangingFile } from './changing-file.ts'
import type { CredentialComponents } from './components.ts'
import { DockerAuths } from './docker-auths.ts'
import { DockerHelper } from './docker-helper.ts'

/**
 * Docker's config.json, also as podman's auth.json or as Kubernetes keeps it in a secret (`.dockerconfigjson`). A helper
 * of the registry comes first, then the helper for all, then what the file holds itself.
 */
export class DockerConfigSource implements CredentialSource {
  readonly name = 'docker-config'
  readonly #components: CredentialComponents
  readonly #file: ChangingFile<DockerAuths>
  #helpers = new Map<string, CachedSource>()

  constructor(path: string, components: CredentialComponents) {
    this.#components = components
    this.#file = new ChangingFile({
      path,
      what: 'the Docker configuration',
      secret: true,
      parse: (text) => {
        // Another file may be of another user.
        this.#helpers = new Map()
        return new DockerAuths(text)
      }
    })
  }

  async get(host: string, repository: string, signal: AbortSignal): Promise<IssuedCredential | undefined> {
    const auths = await this.#file.read(host)
    const helper = auths.helperFor(host)
    const given = helper && (await this.#helper(helper.name).get(host, repository, signal))
    if (given !== undefined || helper?.isForAll === false) return given
    const credential = auths.find(host, repository)
    return credential === undefined ? undefined : { credential }
  }

  refused(credential: Credential): void {
    for (const helper of this.#helpers.values()) helper.refused(credential)
  }

  #helper(name: string): CachedSource {
    const helper =
      this.#helpers.get(name) ?? new CachedSource(new DockerHelper(name, this.#components), this.#components)
    this.#helpers.set(name, helper)
    return helper
  }
}
