/**
 * Honest clients who push to one node and pull from another, on and on, until the process is ended. A process of its own,
 * since whoever attacks the nodes keeps its own process busy as well. Takes {@link HonestClientInit} as JSON in argv[2]
 * and prints an {@link HonestClientLine} for each image.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { ask, putImage, type Registry } from './client.ts'

export interface HonestClientInit {
  readonly giver: Registry
  readonly taker: Registry
}

export type HonestClientLine = { readonly elapsedMs: number } | { readonly failure: string }

const PAUSE_MS = 200
const LAYER_BYTES = 200_000

async function pushAndPull({ giver, taker }: HonestClientInit, repository: string): Promise<void> {
  const layer = randomBytes(LAYER_BYTES)
  const { layer: descriptor } = await putImage(giver, repository, '1', layer)
  await pull(taker, `/v2/${repository}/manifests/1`)
  const blob = await pull(taker, `/v2/${repository}/blobs/${descriptor.digest}`)
  if (!blob.body.equals(layer)) throw new Error('wrong bytes came')
}

/** Asks again while the answer is that nobody gave it in time, as somebody who pulls again; that takes its time too. */
async function pull(taker: Registry, path: string): ReturnType<typeof ask> {
  for (;;) {
    const answer = await ask(taker, 'GET', path)
    if (answer.status === 200) return answer
    if (![404, 503].includes(answer.status)) throw new Error(`${path} was answered with ${answer.status}`)
    await sleep(PAUSE_MS)
  }
}

function tell(line: HonestClientLine): void {
  console.log(JSON.stringify(line))
}

const init = JSON.parse(process.argv[2] ?? '') as HonestClientInit
process.once('SIGTERM', () => process.exit(0))
for (let i = 0; ; i++) {
  const started = performance.now()
  try {
    await pushAndPull(init, `honest/app-${process.pid}-${i}`)
    tell({ elapsedMs: performance.now() - started })
  } catch (error) {
    tell({ failure: String(error) })
  }
  await sleep(PAUSE_MS)
}
