/*
 * A client on another host, as a RemoteModule: pushes and pulls blobs at the registry of its node, which only that host
 * reaches. A blob is told by its name and size.
 */
import { KnownBlob, type PullEnd, type RunningPull } from './known-blob.ts'
import { Progress } from './progress.ts'

interface Pull {
  readonly progress: Progress
  readonly running: RunningPull
}

const pulls: Pull[] = []

export async function push(name: string, size: number, registryUrl: string): Promise<void> {
  await new KnownBlob(name, size).push({ registryUrl })
}

/** Begins to pull. @returns the number of the pull */
export function pull(name: string, size: number, registryUrl: string): number {
  const progress = new Progress()
  const running = new KnownBlob(name, size).pull({ registryUrl }, { onBytes: (bytes) => progress.add(bytes) })
  return pulls.push({ progress, running }) - 1
}

/** Resolves when so many bytes have come. */
export async function reached(number: number, bytes: number): Promise<void> {
  await pullOf(number).progress.reached(bytes)
}

/** How the pull ended, once it has. */
export async function end(number: number): Promise<PullEnd> {
  return await pullOf(number).running.end
}

function pullOf(number: number): Pull {
  const pull = pulls[number]
  if (pull === undefined) throw new Error(`there is no pull ${number}`)
  return pull
}
