import type { Credential, CredentialSource, IssuedCredential } from '../interfaces.ts'
import { ChangingFile } from './changing-file.ts'
import type { PasswordFileSettings } from './settings.ts'

/**
 * A user name with a password or token in a file: what Docker Hub (https://docs.docker.com/security/access-tokens/),
 * GHCR (https://docs.github.com/packages/working-with-a-github-packages-registry/working-with-the-container-registry)
 * and most private registries ask for.
 */
export class PasswordFileSource implements CredentialSource {
  readonly name = 'password-file'
  readonly #username: string
  readonly #file: ChangingFile<string>

  constructor({ username, passwordFile }: PasswordFileSettings) {
    this.#username = username
    this.#file = new ChangingFile({
      path: passwordFile,
      what: 'the password file',
      secret: true,
      parse: (text) => {
        const password = text.replace(/\r?\n$/, '')
        if (password === '') throw new TypeError('is empty')
        if (/\p{Cc}/u.test(password)) throw new TypeError('holds more than one line')
        return password
      }
    })
  }

  async get(host: string): Promise<IssuedCredential> {
    const password = await this.#file.read(host)
    return { credential: { kind: 'password', username: this.#username, password } }
  }

  /** There is no other; a new one is read once it is in the file. */
  refused(_credential: Credential): void {}
}
