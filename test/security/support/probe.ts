/**
 * Loaded into a node before its own code: on SIGUSR2 it collects all garbage and prints a {@link ProbeLine}, so that what a
 * node keeps can be told from what it has not thrown away yet.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { isMainThread } from 'node:worker_threads'

export interface ProbeLine {
  /** Counts the lines of this process. */
  readonly probe: number
  /** Bytes that live on the heap and outside of it, after a full collection. */
  readonly heldBytes: number
  /** Open sockets, streams, timers, by kind. */
  readonly resources: Readonly<Record<string, number>>
  /** The most time on a CPU that the event loop took between two of its beats since the line before, in ms. */
  readonly longestTurnMs: number
}

const BEAT_MS = 10

/** Time that the main thread was on a CPU; where Node can not tell, that of all threads. */
function mainThreadMs(): number {
  const { user, system } = process.threadCpuUsage?.() ?? process.cpuUsage()
  return (user + system) / 1_000
}

if (isMainThread) {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  let longestTurnMs = 0
  let usedMs = mainThreadMs()
  // How long it waited for a CPU says more of the machine than of the node.
  setInterval(() => {
    const nowMs = mainThreadMs()
    longestTurnMs = Math.max(longestTurnMs, nowMs - usedMs)
    usedMs = nowMs
  }, BEAT_MS).unref()
  let probe = 0
  process.on('SIGUSR2', () => {
    const line = { probe: ++probe, longestTurnMs }
    collect()
    // What was only reachable from finalizers and weak references goes with the second one.
    setTimeout(() => {
      collect()
      const { heapUsed, external } = process.memoryUsage()
      const resources = Object.fromEntries(
        Object.entries(Object.groupBy(process.getActiveResourcesInfo(), (kind) => kind)).map(([kind, all]) => [
          kind,
          all?.length ?? 0
        ])
      )
      const told: ProbeLine = { ...line, heldBytes: heapUsed + external, resources }
      process.stdout.write(`${JSON.stringify(told)}\n`)
      usedMs = mainThreadMs()
      longestTurnMs = 0
    }, 50)
  })
}
