import type { TrustPolicy } from '@layermesh/trust'
import type { CurrentSeedSet, SeedSets } from './seed-sets.ts'

export interface SeedSetWatchComponents {
  readonly peerId: string
  readonly role: 'seed' | 'node'
  readonly seedSets: Pick<SeedSets, 'root' | 'current' | 'onChange'>
  readonly trust: Pick<TrustPolicy, 'isRevoked' | 'endOf'>
  readonly log: {
    info(fields: object, message: string): void
    warn(fields: object, message: string): void
    error(fields: object, message: string): void
  }
  /** Milliseconds since 1970. */
  now(): number
}

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS
const LOOK_EVERY_MS = MINUTE_MS
const REMIND_EVERY_MS = 60 * MINUTE_MS
const WARN_BEFORE_MS = 30 * DAY_MS

/** Something that the operator must know as long as it holds. */
interface Concern {
  readonly level: 'warn' | 'error'
  readonly message: string
}

/** Tells the operator what the seed set means for this node: at once when that changes, and again each hour while it is bad. */
export class SeedSetWatch {
  readonly #components: SeedSetWatchComponents
  readonly #told = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined
  #stopListening: (() => void) | undefined

  constructor(components: SeedSetWatchComponents) {
    this.#components = components
  }

  start(): void {
    const { seedSets } = this.#components
    this.#stopListening = seedSets.onChange((current) => this.#changed(current))
    if (seedSets.current) this.#changed(seedSets.current)
    this.#timer = setInterval(() => this.look(), LOOK_EVERY_MS)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#stopListening?.()
  }

  /** Tells what has to be told by now. */
  look(): void {
    const { log, now, seedSets } = this.#components
    const concerns = this.#concerns()
    for (const message of this.#told.keys()) {
      if (!concerns.some((concern) => concern.message === message)) this.#told.delete(message)
    }
    for (const { level, message } of concerns) {
      if (now() - (this.#told.get(message) ?? Number.NEGATIVE_INFINITY) < REMIND_EVERY_MS) continue
      this.#told.set(message, now())
      log[level]({ root: seedSets.root, sequence: seedSets.current?.set.sequence }, message)
    }
  }

  #changed({ set }: CurrentSeedSet): void {
    const { sequence, seeds, revoked, expiresAt } = set
    const named = seeds.map(({ peerId }) => peerId)
    const fields = { sequence, seeds: named, revoked, expires: new Date(expiresAt).toISOString() }
    this.#components.log.info(fields, 'a seed set counts now')
    this.look()
  }

  #concerns(): Concern[] {
    const { seedSets } = this.#components
    return seedSets.current ? [...this.#ofSet(seedSets.current), ...this.#ofSelf(seedSets.current)] : []
  }

  #ofSet({ set: { expiresAt }, grants }: CurrentSeedSet): Concern[] {
    const { now } = this.#components
    const when = new Date(expiresAt).toISOString()
    if (!grants) {
      const message = `the seed set expired at ${when}, before it came here: it makes nobody trusted; sign and publish a new one`
      return [{ level: 'error', message }]
    }
    if (now() >= expiresAt) {
      const message = `the seed set expired at ${when}: it still counts here, but new nodes trust nobody by it; sign and publish a new one`
      return [{ level: 'error', message }]
    }
    if (expiresAt - now() > WARN_BEFORE_MS) return []
    return [{ level: 'warn', message: `the seed set expires at ${when}; sign and publish a new one before` }]
  }

  #ofSelf({ set }: CurrentSeedSet): Concern[] {
    const { role, peerId, trust, now } = this.#components
    if (role !== 'seed') return []
    if (trust.isRevoked(peerId)) {
      return [
        { level: 'error', message: 'this seed was revoked: it signs nothing more, and nobody believes what it signed' }
      ]
    }
    const end = trust.endOf(peerId)
    if (end === undefined) {
      if (set.seeds.some((seed) => seed.peerId === peerId)) return []
      const message =
        'this seed is not in the seed set: only nodes whose own configuration trusts it believe what it signs'
      return [{ level: 'warn', message }]
    }
    const when = new Date(end).toISOString()
    if (now() >= end) {
      const message = `this seed retired at ${when}: it signs nothing more, and nobody believes what it signed`
      return [{ level: 'error', message }]
    }
    return [{ level: 'warn', message: `this seed retires at ${when}; another one has to sign its tags anew before` }]
  }
}
