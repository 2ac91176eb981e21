import { expect, it, vi } from 'vitest'
import { EventPattern } from './event-pattern.ts'
import { endpointOf, openWebhooks, pulled, pushed } from './testing/fixture.ts'
import { Receiver } from './testing/receiver.ts'

const PATIENT = { timeout: 90_000 } as const
const tagsOf = (receiver: Receiver) => receiver.events.map(({ data }) => (data as { tag?: string }).tag)

it('delivers what it recorded, in order', async () => {
  const receiver = await Receiver.start()
  const { webhooks, notes } = await openWebhooks([endpointOf(receiver.url)])
  webhooks.start()
  for (const tag of ['1', '2', '3']) await webhooks.record(pushed(tag))
  await receiver.got(3)
  expect(tagsOf(receiver)).toEqual(['1', '2', '3'])
  const ids = receiver.events.map(({ id }) => id)
  expect(ids).toEqual([...new Set(ids)].sort())
  expect(receiver.events.map(({ sequence }) => Number(sequence))).toEqual([1, 2, 3])
  await vi.waitFor(() => expect(notes.count('delivered ci')).toBe(3), PATIENT)
  expect(webhooks.counts()).toEqual([{ endpoint: 'ci', pending: 0, dead: 0 }])
})

it('tries again until the receiver takes it, and holds back what comes after', async () => {
  const receiver = await Receiver.start()
  let answers = 0
  receiver.answer((response) => void response.writeHead(++answers <= 3 ? 500 : 200).end())
  const { webhooks, notes } = await openWebhooks([endpointOf(receiver.url)])
  await webhooks.record(pushed('1'))
  await webhooks.record(pushed('2'))
  webhooks.start()
  await receiver.got(5)
  expect(tagsOf(receiver)).toEqual(['1', '1', '1', '1', '2'])
  expect(new Set(receiver.events.map(({ id }) => id)).size).toBe(2)
  const bodies = receiver.received.slice(0, 4).map(({ body }) => body)
  expect(new Set(bodies).size).toBe(1)
  expect(notes.count('failed ci')).toBe(3)
})

it('waits longer after each failure, and as long as the receiver asks', async () => {
  const receiver = await Receiver.start()
  let answers = 0
  receiver.answer((response) => {
    answers++
    if (answers === 3) response.setHeader('retry-after', '60')
    response.writeHead(answers < 5 ? 503 : 200).end()
  })
  let now = Date.parse('2026-01-01T00:00:00Z')
  const waits: number[] = []
  const components = {
    now: () => now,
    random: () => 0.5,
    sleep: async (ms: number) => {
      waits.push(ms)
      now += ms
    }
  }
  const { webhooks } = await openWebhooks([endpointOf(receiver.url)], { components })
  webhooks.start()
  await webhooks.record(pushed('1'))
  await receiver.got(5)
  expect(waits).toEqual([500, 1_000, 62_000, 4_000])
})

it('gives an event up after so many attempts and goes on with the next; a command brings it back', async () => {
  const receiver = await Receiver.start()
  receiver.answer((response, { body }) => void response.writeHead(body.includes('"1"') ? 400 : 200).end())
  const { webhooks, notes } = await openWebhooks([endpointOf(receiver.url, { maxAttempts: 3 })])
  webhooks.start()
  await webhooks.record(pushed('1'))
  await webhooks.record(pushed('2'))
  await receiver.got(4)
  expect(tagsOf(receiver)).toEqual(['1', '1', '1', '2'])
  await vi.waitFor(() => expect(webhooks.counts()).toEqual([{ endpoint: 'ci', pending: 0, dead: 1 }]), PATIENT)
  expect(notes.count('dead ci')).toBe(1)
  const [state] = await webhooks.list()
  expect(state?.deadLetters).toEqual([
    expect.objectContaining({
      id: receiver.events[0]?.id,
      subject: 'team/app:1',
      attempts: 3,
      lastError: 'the receiver answered 400'
    })
  ])

  receiver.answer(200)
  expect(await webhooks.redeliver('ci', { id: receiver.events[0]?.id ?? '' })).toBe(1)
  await receiver.got(5)
  expect(receiver.events[4]).toEqual(receiver.events[0])
  await vi.waitFor(() => expect(webhooks.counts()).toEqual([{ endpoint: 'ci', pending: 0, dead: 0 }]), PATIENT)
})

it('does not count it against an event that the receiver is away', async () => {
  const receiver = await Receiver.start()
  receiver.answer(503)
  const { webhooks, notes } = await openWebhooks([endpointOf(receiver.url, { maxAttempts: 2 })])
  webhooks.start()
  await webhooks.record(pushed('1'))
  await receiver.got(5)
  receiver.answer(400)
  await vi.waitFor(() => expect(notes.count('dead ci')).toBe(1), PATIENT)
  receiver.answer(200)
  await webhooks.record(pushed('2'))
  await vi.waitFor(() => expect(notes.count('delivered ci')).toBe(1), PATIENT)
  expect(tagsOf(receiver).at(-1)).toBe('2')
})

it('gives up what is too old when the receiver is away, without an attempt for each', async () => {
  const receiver = await Receiver.start()
  receiver.answer(500)
  let now = Date.parse('2026-01-01T00:00:00Z')
  const { webhooks } = await openWebhooks([endpointOf(receiver.url, { maxAttempts: 1_000_000 })], {
    maxAgeMs: 1_000,
    components: { now: () => now }
  })
  for (const tag of ['1', '2', '3']) await webhooks.record(pushed(tag))
  now += 2_000
  await webhooks.record(pushed('4'))
  webhooks.start()
  await vi.waitFor(() => expect(webhooks.counts()).toEqual([{ endpoint: 'ci', pending: 1, dead: 3 }]), PATIENT)
  expect(tagsOf(receiver)[0]).toBe('1')
  expect(tagsOf(receiver)).not.toContain('2')
  receiver.answer(200)
  expect(await webhooks.redeliver('ci', 'dead')).toBe(3)
  await vi.waitFor(() => expect(webhooks.counts()[0]?.pending).toBe(0), PATIENT)
  const others = tagsOf(receiver).filter((tag) => tag !== '4')
  expect(others.slice(-3)).toEqual(['1', '2', '3'])
})

it('keeps what it could not deliver for the next start, with its number of attempts', async () => {
  const receiver = await Receiver.start()
  receiver.answer(500)
  const endpoint = endpointOf(receiver.url, { maxAttempts: 1_000_000 })
  const first = await openWebhooks([endpoint])
  await first.webhooks.record(pushed('1'))
  await first.webhooks.record(pushed('2'))
  first.webhooks.start()
  await receiver.got(2)
  await first.stop()
  const before = receiver.received.length
  receiver.answer(200)
  const second = await openWebhooks([endpoint], { directory: first.directory })
  await second.webhooks.record(pushed('3'))
  second.webhooks.start()
  await receiver.got(before + 3)
  expect(tagsOf(receiver).slice(before)).toEqual(['1', '2', '3'])
  expect(receiver.events.at(-1)?.sequence).toBe('0000000000000003')
})

it('lets one receiver wait for no other', async () => {
  const [slow, quick] = [await Receiver.start(), await Receiver.start()]
  slow.answer(() => {})
  const { webhooks } = await openWebhooks([
    endpointOf(slow.url, { name: 'slow' }),
    endpointOf(quick.url, { name: 'quick' })
  ])
  webhooks.start()
  for (const tag of ['1', '2', '3']) await webhooks.record(pushed(tag))
  await quick.got(3)
  expect(slow.received).toHaveLength(1)
})

it('records without a receiver as long as it takes, within bounds; pulls make way first', async () => {
  const { webhooks, notes } = await openWebhooks([endpointOf('http://127.0.0.1:1/')], { maxCount: 4 })
  for (let size = 0; size < 6; size++) await webhooks.record(pulled(size))
  expect(notes.lines).toEqual(['dropped ci full 1', 'dropped ci full 1'])
  for (const tag of ['1', '2', '3', '4']) await webhooks.record(pushed(tag))
  expect(notes.count('dropped ci full 1')).toBe(6)
  expect(webhooks.counts()).toEqual([{ endpoint: 'ci', pending: 4, dead: 0 }])
  await webhooks.record(pushed('5'))
  const [state] = await webhooks.list()
  expect(state).toMatchObject({ pending: 4, state: 'delivering', origin: 'http://127.0.0.1:1' })
})

it('forgets the oldest of those that it gave up', async () => {
  const receiver = await Receiver.start()
  receiver.answer(400)
  const { webhooks, notes } = await openWebhooks([endpointOf(receiver.url, { maxAttempts: 1 })], { maxDead: 2 })
  webhooks.start()
  for (const tag of ['1', '2', '3']) await webhooks.record(pushed(tag))
  await vi.waitFor(() => expect(notes.count('dropped ci forgotten 1')).toBe(1), PATIENT)
  const [state] = await webhooks.list()
  expect(state?.deadLetters.map(({ subject }) => subject)).toEqual(['team/app:3', 'team/app:2'])
})

it('delivers only what an endpoint asks for', async () => {
  const [tags, team, docker] = [await Receiver.start(), await Receiver.start(), await Receiver.start()]
  const { webhooks } = await openWebhooks([
    endpointOf(tags.url, { name: 'tags', events: [new EventPattern('tag.*')] }),
    endpointOf(team.url, { name: 'team', acceptsRepository: (repository) => repository.startsWith('team/') }),
    endpointOf(docker.url, { name: 'docker', format: 'docker', ignoreMediaTypes: ['application/octet-stream'] })
  ])
  webhooks.start()
  const data = { repository: 'other/app', digest: 'sha256:1', mediaType: 'm', size: 1 }
  await webhooks.record({ name: 'blob.pushed', data: { repository: 'team/app', digest: 'sha256:0' } })
  await webhooks.record({ name: 'manifest.pushed', data })
  await webhooks.record({ name: 'tag.set', data: { ...data, tag: '1', tagSequence: 1 } })
  await webhooks.record({ name: 'peer.banned', data: { peerId: '12D3', reason: 'liar', until: '2026-01-01' } })
  await Promise.all([tags.got(1), team.got(2), docker.got(1)])
  expect(tags.events.map(({ type }) => type)).toEqual(['dev.layermesh.tag.set.v1'])
  expect(team.events.map(({ type }) => type)).toEqual(['dev.layermesh.blob.pushed.v1', 'dev.layermesh.peer.banned.v1'])
  expect(docker.received.map(({ body }) => JSON.parse(body).events[0].target.repository)).toEqual(['other/app'])
})

it('knows whether anybody wants to hear of pulls', async () => {
  const events = [new EventPattern('tag.*')]
  const { webhooks } = await openWebhooks([endpointOf('http://127.0.0.1:1/', { events })])
  expect([webhooks.wants('blob.pulled'), webhooks.wants('tag.set')]).toEqual([false, true])
})

it('sends a ping past what waits, and tells how it went', async () => {
  const receiver = await Receiver.start()
  receiver.answer((response, { body }) => void response.writeHead(body.includes('ping') ? 200 : 500).end())
  const { webhooks } = await openWebhooks([endpointOf(receiver.url, { events: [new EventPattern('tag.*')] })])
  const signal = AbortSignal.timeout(120_000)
  expect(await webhooks.test('ci', signal)).toMatchObject({ delivered: true, status: 200 })
  expect(receiver.events[0]?.type).toBe('dev.layermesh.ping.v1')
  receiver.answer(401)
  const error = 'the receiver answered 401'
  expect(await webhooks.test('ci', signal)).toMatchObject({ delivered: false, status: 401, error })
  await expect(webhooks.test('other', signal)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  await expect(webhooks.redeliver('ci', { id: 'x' })).rejects.toMatchObject({ code: 'NOT_FOUND' })
})
