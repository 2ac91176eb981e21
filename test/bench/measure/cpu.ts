import { readFile } from 'node:fs/promises'
import { sum } from '../report/statistics.ts'

/** Clock ticks a second of the times in /proc, on every Linux platform that Node runs on (proc(5), USER_HZ). */
const TICKS_PER_SECOND = 100

export interface CpuUse<Name extends string> {
  readonly elapsedSeconds: number
  /** CPU seconds of each group of processes, all threads, user and system. */
  readonly cpuSeconds: Readonly<Record<Name, number>>
  /** Share of all cores of the machine that was busy with anything. */
  readonly busyShare: number
  /** Share of all cores that was busy with other processes, and with the kernel's work for links. */
  readonly othersShare: number
}

/** Runs `body` and tells what CPU time these processes took meanwhile, and how busy the machine was. */
export async function withCpu<T, Name extends string>(
  groups: Readonly<Record<Name, readonly number[]>>,
  body: () => Promise<T>
): Promise<{ value: T; cpu: CpuUse<Name> }> {
  const names = Object.keys(groups) as Name[]
  const look = async () => ({
    at: performance.now(),
    machine: await machineTicks(),
    groups: await Promise.all(names.map((name) => secondsOf(groups[name])))
  })
  const before = await look()
  const value = await body()
  const after = await look()
  const used = names.map((name, i) => [name, (after.groups[i] ?? 0) - (before.groups[i] ?? 0)] as const)
  const total = after.machine.total - before.machine.total
  const busy = after.machine.busy - before.machine.busy
  const ours = sum(used.map(([, seconds]) => seconds)) * TICKS_PER_SECOND
  const cpu = {
    elapsedSeconds: (after.at - before.at) / 1000,
    cpuSeconds: Object.fromEntries(used) as Record<Name, number>,
    busyShare: busy / total,
    othersShare: Math.max(0, busy - ours) / total
  }
  return { value, cpu }
}

/** CPU seconds that processes have taken since they began. */
async function secondsOf(pids: readonly number[]): Promise<number> {
  return sum(await Promise.all(pids.map(processSeconds)))
}

/** utime and stime of proc(5), stat; the name, which may hold anything, ends with the last bracket. */
async function processSeconds(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

/** The first line of proc(5), stat: user, nice, system, idle, iowait, irq, softirq, steal. */
async function machineTicks(): Promise<{ total: number; busy: number }> {
  const [line = ''] = (await readFile('/proc/stat', 'utf8')).split('\n', 1)
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number)
  const [, , , idle = 0, iowait = 0] = ticks
  const total = sum(ticks)
  return { total, busy: total - idle - iowait }
}
