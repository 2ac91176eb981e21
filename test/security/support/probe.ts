/**
 * Loaded into a node before its own code: on SIGUSR2 it collects all garbage and prints a {@link ProbeLine}, so that what a
 * node keeps can be told from what it has not thrown away yet.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
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
  /** The longest time since the line before in which the event loop did not turn, in ms. */
  readonly longestPauseMs: number
}

if (isMainThread) {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const delay = monitorEventLoopDelay({ resolution: 10 })
  delay.enable()
  let probe = 0
  process.on('SIGUSR2', () => {
    const longestPauseMs = delay.max / 1e6
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
      const line: ProbeLine = { probe: ++probe, heldBytes: heapUsed + external, resources, longestPauseMs }
      process.stdout.write(`${JSON.stringify(line)}\n`)
      delay.reset()
    }, 50)
  })
}
