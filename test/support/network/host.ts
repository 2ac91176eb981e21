import type { Answer } from '../http.ts'
import type { Command, Place } from '../place.ts'
import { RemoteModule } from '../remote-module.ts'
import type { Sandbox } from '../sandbox.ts'
import { bytesThrough, type LinkBytes, type LinkEnd } from './link.ts'
import type { Namespace } from './namespace.ts'

type Requests = RemoteModule<typeof import('./requests.ts')>

/** A host with an address on a network, and a loopback of its own that only its own processes reach. */
export class Host implements Place {
  readonly name: string
  readonly address: string
  readonly #end: LinkEnd
  readonly #sandbox: Sandbox
  #requests: Promise<Requests> | undefined

  /** @param end the host's end of its link */
  constructor(sandbox: Sandbox, name: string, address: string, end: LinkEnd) {
    this.#sandbox = sandbox
    this.name = name
    this.address = address
    this.#end = end
  }

  get namespace(): Namespace {
    return this.#end.namespace
  }

  command(command: string, args: readonly string[]): Command {
    return this.namespace.command(command, args)
  }

  async request(url: string): Promise<Answer> {
    this.#requests ??= RemoteModule.start(this.#sandbox, new URL('./requests.ts', import.meta.url), this)
    const { headers, ...answer } = await (await this.#requests).call('request', url)
    return { ...answer, headers: new Headers(headers) }
  }

  /** What has gone through the host's link since it was made. */
  bytes(): Promise<LinkBytes> {
    return bytesThrough(this.#end)
  }
}
