import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, it, onTestFinished, vi } from 'vitest'
import { endpointOf, openWebhooks, temporaryDirectory } from './testing/fixture.ts'
import { Receiver } from './testing/receiver.ts'

const VICTIM = fileURLToPath(new URL('./testing/crash-victim.ts', import.meta.url))
const ROUNDS = 6
const NUMBERS_PER_ROUND = 1_000_000

/** Lets a process record until it has acknowledged `count` events, and kills it there and then. */
async function runVictim(directory: string, url: string, from: number, count: number): Promise<string[]> {
  const args = ['--conditions=layermesh-source', VICTIM, directory, url, String(from)]
  const victim = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const kill = () => void victim.kill('SIGKILL')
  onTestFinished(kill)
  const lines: string[] = []
  for await (const line of createInterface(victim.stdout)) {
    lines.push(line)
    if (lines.length > count) kill()
  }
  return lines.slice(1)
}

it('delivers each event that it acknowledged at least once, in order, whenever it is killed', async () => {
  const receiver = await Receiver.start()
  // Refusals too, so that some wait when the process is killed.
  receiver.answer((response) => void response.writeHead(receiver.received.length % 5 === 0 ? 503 : 204).end())
  const directory = await temporaryDirectory()
  const acknowledged: string[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const count = 1 + round * 37
    acknowledged.push(...(await runVictim(directory, receiver.url, round * NUMBERS_PER_ROUND, count)))
  }
  expect(acknowledged.length).toBeGreaterThan(100)

  receiver.answer(204)
  const { webhooks } = await openWebhooks([endpointOf(receiver.url)], { directory })
  webhooks.start()
  await vi.waitFor(() => expect(webhooks.counts()[0]?.pending).toBe(0), { timeout: 120_000 })

  const idsByTag = new Map<string, Set<string>>()
  const order: number[] = []
  for (const { id, sequence, data } of receiver.events) {
    const { tag } = data as { tag: string }
    const ids = idsByTag.get(tag) ?? new Set()
    if (ids.size === 0) order.push(Number(sequence))
    idsByTag.set(tag, ids.add(id))
  }
  for (const tag of acknowledged) expect(idsByTag.has(tag), `event ${tag}`).toBe(true)
  for (const [tag, ids] of idsByTag) expect([tag, ids.size]).toEqual([tag, 1])
  expect(order).toEqual([...order].sort((a, b) => a - b))
  expect(new Set(order).size).toBe(order.length)
})
