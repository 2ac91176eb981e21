import type { Benchmark } from '../benchmark.ts'
import { fanOut } from './fan-out.ts'
import { firstByte } from './first-byte.ts'
import { idle } from './idle.ts'
import { localHit } from './local-hit.ts'
import { lookup } from './lookup.ts'
import { memory } from './memory.ts'
import { notFound } from './not-found.ts'
import { oneToOne } from './one-to-one.ts'
import { push } from './push.ts'
import { twoZones } from './two-zones.ts'
import { upstream } from './upstream.ts'

/** All benchmarks, in the order in which `all` runs them. */
export const BENCHMARKS: readonly Benchmark[] = [
  oneToOne,
  localHit,
  push,
  fanOut,
  twoZones,
  upstream,
  firstByte,
  memory,
  idle,
  lookup,
  notFound
]
