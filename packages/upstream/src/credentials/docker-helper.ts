import { z } from 'zod'
import type { Credential } from '../interfaces.ts'
import type { CredentialIssuer } from './cached-source.ts'
import type { CredentialComponents } from './components.ts'
import type { Issued } from './credential-cache.ts'
import { errorCode, plainLine, unavailable } from './credential-error.ts'
import { parseJson } from './parse-json.ts'
import { runProgram } from './run-program.ts'

/** What stands before the name of a helper in the name of its program. */
const PREFIX = 'docker-credential-'
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/
/** What helpers say when they have none (docker-credential-helpers, credentials/error.go). */
const NOT_FOUND = 'credentials not found in native keychain'
/** The user name that says that the secret is an identity token. */
const TOKEN_USER = '<token>'
/** Under which Docker Hub's credentials are kept since Docker's first version. */
const DOCKER_HUB_URL = 'https://index.docker.io/v1/'

const answerSchema = z.looseObject({ Username: z.string(), Secret: z.string().min(1) })

/** Whether `name` names a helper, and no path to another program. */
export function isHelperName(name: string): boolean {
  return NAME.test(name)
}

/**
 * A Docker credential helper: a program that is asked by `get` with the registry on its standard input
 * (https://github.com/docker/docker-credential-helpers#development).
 */
export class DockerHelper implements CredentialIssuer {
  readonly name: string
  readonly #program: string
  readonly #components: Pick<CredentialComponents, 'env'>

  /** @param helper its name without `docker-credential-`, such as `ecr-login` */
  constructor(helper: string, components: Pick<CredentialComponents, 'env'>) {
    if (!isHelperName(helper)) throw new TypeError('the name of a credential helper holds letters, digits and -_. only')
    this.#program = `${PREFIX}${helper}`
    this.#components = components
    this.name = this.#program
  }

  async issue(host: string, signal: AbortSignal): Promise<Issued<Credential | undefined>> {
    const { exitCode, output } = await this.#run(host, signal)
    if (exitCode === 0) return { value: this.#read(host, output) }
    const message = plainLine(output)
    if (message.startsWith(NOT_FOUND)) return { value: undefined }
    // A helper says on its standard output what went wrong; one that says something else there is not quoted.
    const why = message === '' || message.startsWith('{') ? '' : `: ${message}`
    throw unavailable(host, `${this.#program} failed for ${host}${why}`)
  }

  async #run(host: string, signal: AbortSignal): Promise<{ exitCode: number | undefined; output: string }> {
    try {
      const { env } = this.#components
      return await runProgram({ file: this.#program, args: ['get'], env, input: serverUrl(host), signal })
    } catch (error) {
      if (signal.aborted) throw error
      const why = error instanceof RangeError ? error.message : `could not be run (${errorCode(error)})`
      throw unavailable(host, `${this.#program} ${why}`)
    }
  }

  #read(host: string, output: string): Credential {
    const answer = answerSchema.safeParse(parseJson(output)).data
    if (answer === undefined) throw unavailable(host, `${this.#program} gave something else than credentials`)
    const { Username: username, Secret: secret } = answer
    if (username === TOKEN_USER) return { kind: 'identityToken', token: secret }
    return { kind: 'password', username, password: secret }
  }
}

function serverUrl(host: string): string {
  return host === 'docker.io' ? DOCKER_HUB_URL : host
}
