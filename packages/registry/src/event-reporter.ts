import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { OciError } from '@layermesh/oci'
import { clientAddress } from './access/client-proof.ts'
import type { Caller, RegistryActivity, RegistryEvent, RegistryListener, RegistryRefusal } from './interfaces.ts'
import type { RegistryLog } from './log.ts'
import type { ResolvedRegistryOptions } from './options.ts'

/** A request and who sent it. */
interface Origin {
  readonly request: IncomingMessage
  readonly caller: Caller
}

/** The options of the registry that matter here. */
export type EventReporterOptions = Pick<ResolvedRegistryOptions, 'recordTimeoutMs' | 'behindTlsProxy'>

/** Tells a listener of what clients did, and who they were. */
export class EventReporter {
  readonly #listener: RegistryListener | undefined
  readonly #log: RegistryLog
  readonly #options: EventReporterOptions

  constructor(components: { listener: RegistryListener | undefined; log: RegistryLog }, options: EventReporterOptions) {
    this.#listener = components.listener
    this.#log = components.log
    this.#options = options
  }

  /** Tells of what needs no record; a failure of the listener changes nothing. */
  tell(origin: Origin, activity: RegistryActivity): void {
    if (this.#listener === undefined) return
    const event = this.#eventOf(origin, activity)
    this.#record(event).catch((error) => this.#logFailure(event, error))
  }

  /**
   * Resolves once the listener has recorded what one request did, before its answer may be sent.
   * @throws {OciError} UNAVAILABLE when it could not, or not in time: the change was made all the same
   */
  async record(origin: Origin, ...activities: readonly RegistryActivity[]): Promise<void> {
    if (this.#listener === undefined) return
    const id = randomUUID()
    const events = activities.map((activity) => this.#eventOf(origin, activity, id))
    await Promise.all(events.map((event) => this.#recordInTime(event)))
  }

  /** Tells of a request that was refused for want of rights. */
  refused(origin: Origin, refusal: Pick<RegistryRefusal, 'action' | 'repository' | 'reference' | 'reason'>): void {
    this.#listener?.refused?.({ ...refusal, ...this.#requestOf(origin, randomUUID()) })
  }

  async #recordInTime(event: RegistryEvent): Promise<void> {
    const { recordTimeoutMs } = this.#options
    const { promise: late, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => reject(new Error(`not recorded within ${recordTimeoutMs} ms`)), recordTimeoutMs)
    try {
      await Promise.race([this.#record(event), late])
    } catch (cause) {
      this.#logFailure(event, cause)
      throw new OciError('UNAVAILABLE', 'this was done but could not be recorded; send it again', { cause })
    } finally {
      clearTimeout(timer)
    }
  }

  async #record(event: RegistryEvent): Promise<void> {
    await this.#listener?.record(event)
  }

  #logFailure(event: RegistryEvent, error: unknown): void {
    this.#log.error({ event, err: error }, 'a listener for registry events failed')
  }

  #eventOf(origin: Origin, activity: RegistryActivity, id: string = randomUUID()): RegistryEvent {
    return { ...activity, ...this.#requestOf(origin, id) }
  }

  #requestOf({ request, caller }: Origin, id: string) {
    return {
      id,
      actor: caller.name,
      method: request.method ?? '',
      host: request.headers.host,
      remoteAddress: clientAddress(request, this.#options.behindTlsProxy),
      userAgent: request.headers['user-agent']
    }
  }
}
