import { readFile, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

const SAMPLE_EVERY_MS = 250
/** Resets VmHWM (proc(5), clear_refs). */
const RESET_PEAK = '5'

export interface MemoryUse {
  /** The most that was ever resident, as the kernel counted it. */
  readonly peakBytes: number
  /** What was resident at each look, a few a second. */
  readonly samples: readonly number[]
}

/** Runs `body` and tells how much of each of these processes was resident meanwhile. */
export async function withMemory<T>(
  pids: readonly number[],
  body: () => Promise<T>
): Promise<{ value: T; memory: MemoryUse[] }> {
  await Promise.all(pids.map((pid) => writeFile(`/proc/${pid}/clear_refs`, RESET_PEAK)))
  const samples = pids.map((): number[] => [])
  const done = new AbortController()
  const sampling = (async () => {
    while (!done.signal.aborted) {
      for (const [i, pid] of pids.entries()) samples[i]?.push(await residentBytes(pid))
      await sleep(SAMPLE_EVERY_MS, undefined, { signal: done.signal }).catch(() => {})
    }
  })()
  try {
    const value = await body()
    const peaks = await Promise.all(pids.map((pid) => statusBytes(pid, 'VmHWM')))
    return { value, memory: peaks.map((peakBytes, i) => ({ peakBytes, samples: samples[i] ?? [] })) }
  } finally {
    done.abort()
    await sampling
  }
}

export function residentBytes(pid: number): Promise<number> {
  return statusBytes(pid, 'VmRSS')
}

/** A field of proc(5), status. */
async function statusBytes(pid: number, field: string): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024
}
