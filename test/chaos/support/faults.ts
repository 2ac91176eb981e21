import type { Member } from './member.ts'
import type { Progress } from './progress.ts'
import type { Random } from './random.ts'

/** Pulls may stand still while a fault lasts; when they do for so long, it has lasted long enough. */
const STALL_MS = 1_500
const FAULTS = 7

type Kind = 'kill' | 'stop' | 'freeze' | 'cut the link to' | 'fill the disk of'
type Victim = 'a node' | 'the seed' | 'the gateway'

/** A fault that is to come. All is counted in bytes that clients have got. */
interface PlannedFault {
  readonly kind: Kind
  readonly victim: Victim
  /** Which node, for those that may hit any; the next one when it is down already. */
  readonly index: number
  readonly atBytes: number
  readonly forBytes: number
}

/** More of what hurts more. */
const CHOICES: [PlannedKind, ...PlannedKind[]] = [
  ['kill', 'a node'],
  ['kill', 'a node'],
  ['kill', 'the gateway'],
  ['kill', 'the gateway'],
  ['kill', 'the seed'],
  ['stop', 'a node'],
  ['freeze', 'a node'],
  ['freeze', 'the seed'],
  ['cut the link to', 'a node'],
  ['cut the link to', 'the seed'],
  ['fill the disk of', 'a node']
]
type PlannedKind = [Kind, Victim]

export interface FaultsComponents {
  readonly seed: Member
  readonly nodes: readonly Member[]
  /** The zone that has to bring everything in from afar. */
  readonly distantZone: string
  readonly progress: Progress
}

/**
 * Things that go wrong while clients pull, drawn from a seed, each when clients have got so many bytes. All of them are
 * survivable: what breaks is mended after so many bytes more, or when nothing comes any more.
 */
export class Faults {
  readonly #components: FaultsComponents
  readonly #plan: readonly PlannedFault[]
  readonly #story: string[] = []

  /** @param totalBytes what all clients will have got in the end */
  constructor(components: FaultsComponents, random: Random, totalBytes: number) {
    this.#components = components
    this.#plan = Array.from({ length: FAULTS }, (_, i) => {
      const [kind, victim] = random.pick(CHOICES)
      const index = random.integer(0, components.nodes.length - 1)
      // Spread over the whole, but for the end, where some clients may be done.
      const atBytes = Math.floor((totalBytes * (i + random.fraction())) / (FAULTS + 1))
      // Long enough for several to last at one time.
      const forBytes = Math.floor((totalBytes * 2 * random.fraction()) / FAULTS)
      return { kind, victim, index, atBytes, forBytes }
    })
    for (const { kind, victim, index, atBytes, forBytes } of this.#plan) {
      this.#story.push(`planned: at ${atBytes} bytes for ${forBytes}: ${kind} ${victim} (${index})`)
    }
  }

  /** What was planned, and what came of it. */
  get story(): string {
    return this.#story.join('\n')
  }

  /** Lets it all happen. Resolves when all is mended. */
  async run(): Promise<void> {
    await Promise.all(this.#plan.map((fault) => this.#happen(fault)))
  }

  async #happen(fault: PlannedFault): Promise<void> {
    const { progress } = this.#components
    await progress.reached(fault.atBytes)
    const member = await this.#victimOf(fault)
    const what = `${fault.kind} ${member?.node.name ?? fault.victim} (${fault.victim})`
    if (member === undefined) return this.#tell(`${what}: something else happens to it already`)
    member.afflicted = true
    this.#tell(what)
    const mend = await strike(fault.kind, member)
    await progress.reachedOrStalled(fault.atBytes + fault.forBytes, STALL_MS)
    await mend()
    this.#tell(`${what}: mended`)
    member.afflicted = false
  }

  async #victimOf({ kind, victim, index }: PlannedFault): Promise<Member | undefined> {
    const { seed, nodes } = this.#components
    if (kind === 'fill the disk of') return nodes.find(({ disk, afflicted }) => disk !== undefined && !afflicted)
    if (victim === 'the seed') return seed.afflicted ? undefined : seed
    if (victim === 'the gateway') return this.#gateway()
    return [...nodes.slice(index), ...nodes.slice(0, index)].find(({ afflicted }) => !afflicted)
  }

  /** Of the nodes of the distant zone the one that has brought in most from afar. */
  async #gateway(): Promise<Member | undefined> {
    const { nodes, distantZone } = this.#components
    const healthy = nodes.filter(({ zone, afflicted }) => zone === distantZone && !afflicted)
    const far = await Promise.all(
      healthy.map(({ node }) => node.metric('layermesh_received_bytes_total', { scope: 'far' }).catch(() => 0))
    )
    const gateway = healthy[far.indexOf(Math.max(...far))]
    return gateway?.afflicted ? undefined : gateway
  }

  #tell(what: string): void {
    this.#story.push(`${this.#components.progress.bytes} bytes: ${what}`)
  }
}

/** @returns what mends it */
async function strike(kind: Kind, member: Member): Promise<() => Promise<void> | void> {
  const { node, link, disk } = member
  switch (kind) {
    case 'kill':
      await member.kill()
      return () => member.restart()
    case 'stop':
      await member.stop()
      return () => member.restart()
    case 'freeze':
      node.process.signal('SIGSTOP')
      return () => node.process.signal('SIGCONT')
    case 'cut the link to':
      link.cut()
      return () => link.heal()
    case 'fill the disk of':
      await disk?.fill()
      return () => disk?.free()
  }
}
