import type { Random } from './random.ts'
import type { Scenario } from './scenario.ts'
import { VirtualBlob } from './virtual-blob.ts'

/** A node as the scenario has it, before it exists. */
export interface Resident {
  readonly id: string
  readonly index: number
  readonly zone: number
  readonly origin: boolean
  readonly lies: boolean
  /** When it begins to want the image. */
  readonly arrivesMs: number
  readonly upBytesPerSecond: number
  readonly downBytesPerSecond: number
}

const ID_LETTERS = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
const ID_LENGTH = 16

/** The nodes of a world, origins first. */
export function populate(scenario: Scenario, random: Random): Resident[] {
  const residents: Resident[] = []
  for (let index = 0; index < scenario.origins; index++) {
    residents.push({
      id: peerId(random),
      index,
      zone: 0,
      origin: true,
      lies: false,
      arrivesMs: 0,
      upBytesPerSecond: scenario.originUplinkBytesPerSecond,
      downBytesPerSecond: scenario.downlinkBytesPerSecond
    })
  }
  const lying = someOf(scenario.nodes, scenario.liarShare, random)
  const slow = someOf(scenario.nodes, scenario.slowShare, random)
  for (let index = 0; index < scenario.nodes; index++) {
    const zone = index % scenario.zones
    const late = zone > 0 && zone === scenario.zones - 1 ? scenario.lateZoneMs : 0
    const factor = slow.has(index) ? scenario.slowFactor : 1
    residents.push({
      id: peerId(random),
      index: scenario.origins + index,
      zone,
      origin: false,
      lies: lying.has(index),
      arrivesMs: late + random.next() * scenario.arrivalSpanMs,
      upBytesPerSecond: scenario.uplinkBytesPerSecond * factor,
      downBytesPerSecond: scenario.downlinkBytesPerSecond * factor
    })
  }
  return residents
}

/** The blobs that make up the image; their sizes differ by a byte at most. */
export function makeBlobs({ blobs, imageBytes, pieceBytes, seed }: Scenario): VirtualBlob[] {
  return Array.from({ length: blobs }, (_, index) => {
    const start = Math.floor((imageBytes * index) / blobs)
    const end = Math.floor((imageBytes * (index + 1)) / blobs)
    return new VirtualBlob(`blob ${index} of world ${seed}`, end - start, pieceBytes)
  })
}

function someOf(count: number, share: number, random: Random): Set<number> {
  const all = Array.from({ length: count }, (_, index) => index)
  return new Set(random.sample(all, Math.round(share * count)))
}

function peerId(random: Random): string {
  let id = ''
  for (let letter = 0; letter < ID_LENGTH; letter++) id += ID_LETTERS[random.below(ID_LETTERS.length)]
  return id
}
