import type { Credential, CredentialSource } from '../interfaces.ts'

/** Gives one credential after the other as they are refused, and the last one for ever. */
export class FakeCredentials implements CredentialSource {
  readonly name = 'fake'
  readonly refusals: Credential[] = []
  readonly #credentials: Credential[]

  constructor(...credentials: Credential[]) {
    this.#credentials = credentials
  }

  async get() {
    const [credential] = this.#credentials
    return credential && { credential }
  }

  refused(credential: Credential): void {
    this.refusals.push(credential)
    if (this.#credentials.length > 1 && this.#credentials[0] === credential) this.#credentials.shift()
  }
}

export const password = (username: string, secret: string): Credential => ({
  kind: 'password',
  username,
  password: secret
})
