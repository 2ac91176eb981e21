import { EVENTS, type EventName, typeOf } from './events.ts'

const SHAPE = /^[a-z0-9*.]{1,100}$/

/**
 * Names of events with `*` for any part of a name: `manifest.pushed`, `tag.*`, `*.pushed`, `*`, or the whole type,
 * `dev.layermesh.tag.moved.v1`. A ping goes to every endpoint and is not asked for.
 */
export class EventPattern {
  readonly #expression: RegExp

  /** @throws {TypeError} for what fits no event at all */
  constructor(text: string) {
    const escaped = text.replaceAll('.', '\\.').replaceAll(/\*+/g, '.*')
    this.#expression = new RegExp(`^${escaped}$`)
    const fitsSome = SHAPE.test(text) && (Object.keys(EVENTS) as EventName[]).some((name) => this.matches(name))
    if (!fitsSome) throw new TypeError(`no event is named ${text}`)
  }

  matches(name: EventName): boolean {
    return name !== 'ping' && (this.#expression.test(name) || this.#expression.test(typeOf(name)))
  }
}
