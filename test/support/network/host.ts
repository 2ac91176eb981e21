import type { Answer } from '../http.ts'
import type { Command, Place } from '../place.ts'
import { RemoteModule } from '../remote-module.ts'
import type { Sandbox } from '../sandbox.ts'
import { attach, bytesThrough, detach, type LinkBytes, type LinkEnd } from './link.ts'
import type { Namespace } from './namespace.ts'

type Requests = RemoteModule<typeof import('./requests.ts')>

/** A host with an address on a network, and a loopback of its own that only its own processes reach. */
export class Host implements Place {
  readonly name: string
  readonly address: string
  readonly #end: LinkEnd
  readonly #port: LinkEnd
  readonly #sandbox: Sandbox
  #requests: Promise<Requests> | undefined

  /** @param end the host's end of its link @param port the other, at the switch */
  constructor(sandbox: Sandbox, name: string, address: string, end: LinkEnd, port: LinkEnd) {
    this.#sandbox = sandbox
    this.name = name
    this.address = address
    this.#end = end
    this.#port = port
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

  /** Cuts its link: what is sent through it vanishes, and nobody is told. */
  cut(): Promise<void> {
    return detach(this.#port)
  }

  heal(): Promise<void> {
    return attach(this.#port)
  }

  /** What has gone through the host's link since it was made. */
  bytes(): Promise<LinkBytes> {
    return bytesThrough(this.#end)
  }
}
