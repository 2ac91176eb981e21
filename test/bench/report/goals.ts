/** A figure to reach. */
export interface Goal {
  readonly what: string
  readonly yardstick: string
  readonly sense: 'at least' | 'at most'
  readonly limit: number
  readonly unit: '×' | 'MiB' | '%' | 'ms' | 's' | 'pieces'
}

/** What the whole is measured by. Benchmarks fill in what was reached. */
export const GOALS = Object.freeze({
  oneToOne: goal(
    'one peer to one peer, encrypted, verified, stored',
    'Node https, streamed, hashed, written',
    'at least',
    0.85,
    '×'
  ),
  oneToOneCpu: goal(
    'CPU seconds per GiB taken in from a peer, both ends',
    'the same https transfer',
    'at most',
    1.5,
    '×'
  ),
  localHit: goal('local hit: GET of a blob from the node', 'docker-registry', 'at least', 1, '×'),
  localHitByFour: goal('the same, by four clients at once', 'docker-registry', 'at least', 1, '×'),
  push: goal('push of a blob, durable, as docker does', 'docker-registry', 'at least', 1.5, '×'),
  pushMonolithic: goal('the same with one PUT', 'docker-registry', 'at least', 1.5, '×'),
  fanOut: goal('cold fan-out, all hosts at once', 'size ÷ link rate', 'at most', 1.15, '×'),
  fanOutSeed: goal('the same, bytes that left the seed', 'image bytes', 'at most', 2, '×'),
  twoZones: goal('two zones, cold, all at once: bytes over the link between', 'image bytes', 'at most', 1.05, '×'),
  upstream: goal(
    'cold pull from upstream, all hosts at once: bytes that upstream gave',
    'image bytes',
    'at most',
    1.05,
    '×'
  ),
  upstreamGatewayLost: goal('the same, with the gateway killed in mid-blob', 'image bytes', 'at most', 1.2, '×'),
  firstByte: goal(
    'first byte to the client of a cold layer: had arrived by then',
    'first piece, not the blob',
    'at most',
    16,
    'pieces'
  ),
  memory: goal('resident memory during 8 concurrent pulls', '–', 'at most', 256, 'MiB'),
  idleMemory: goal('idle node in a mesh: resident', '–', 'at most', 120, 'MiB'),
  idleCpu: goal('idle node in a mesh: CPU of a core', '–', 'at most', 1, '%'),
  lookup: goal('provider lookup, p50', '–', 'at most', 20, 'ms'),
  notFound: goal('added time of a pull that nobody can serve', '–', 'at most', 1, 's')
})

/** What was reached of a goal. */
export interface Figure extends Goal {
  readonly reached: number
  readonly ok: boolean
}

export const FIGURE_HEAD = ['what', 'yardstick', 'reach', 'reached', ''] as const

export function reached(of: Goal, value: number): Figure {
  return { ...of, reached: value, ok: of.sense === 'at least' ? value >= of.limit : value <= of.limit }
}

export function figureRow({ what, yardstick, sense, limit, unit, reached, ok }: Figure): string[] {
  const digits = unit === '×' || unit === 's' ? 2 : 1
  const bound = `${sense === 'at least' ? '≥' : '≤'} ${limit} ${unit}`
  return [what, yardstick, bound, `${reached.toFixed(digits)} ${unit}`, ok ? 'ok' : 'not reached']
}

function goal(what: string, yardstick: string, sense: Goal['sense'], limit: number, unit: Goal['unit']): Goal {
  return Object.freeze({ what, yardstick, sense, limit, unit })
}
