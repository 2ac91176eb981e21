/**
 * A process that is killed in the middle of its work: it records events in the outbox in argv[2] for the receiver in
 * argv[3], from the number in argv[4] on, and writes a line for each that was acknowledged, at once.
 */
import { writeSync } from 'node:fs'
import { EventPattern } from '../event-pattern.ts'
import { Webhooks } from '../webhooks.ts'

const CONCURRENT = 5
const [, , directory = '', url = '', from = '0'] = process.argv
const quiet = () => {}
const webhooks = await Webhooks.open(
  {
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    observer: { delivered: quiet, failed: quiet, dead: quiet, dropped: quiet },
    context: () => ({ peerId: '12D3', registryUrl: 'http://127.0.0.1:5000' })
  },
  {
    directory,
    userAgent: 'layermesh/test',
    endpoints: [
      {
        name: 'ci',
        url,
        format: 'cloudevents',
        events: [new EventPattern('*')],
        acceptsRepository: () => true,
        ignoreMediaTypes: [],
        allowPrivateAddresses: true,
        timeoutMs: 5_000,
        maxAttempts: 20
      }
    ]
  }
)
webhooks.start()
writeSync(1, 'open\n')

let next = Number(from)
async function recordOn(): Promise<never> {
  for (;;) {
    const tag = String(next++)
    const data = { repository: 'team/app', tag, digest: 'sha256:0', mediaType: 'm', size: 1 }
    await webhooks.record({ name: 'manifest.pushed', data })
    writeSync(1, `${tag}\n`)
  }
}
await Promise.all(Array.from({ length: CONCURRENT }, recordOn))
