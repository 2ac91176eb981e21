import { expect, it } from 'vitest'
import type { RecordedEvent } from '../events.ts'
import { CONTEXT, DIGEST, PEER_ID } from '../testing/fixture.ts'
import { formatEvent } from './format-event.ts'

const REQUEST = { id: 'r1', method: 'PUT', address: '192.0.2.7', host: 'registry.example', userAgent: 'docker/29' }
const EVENT: RecordedEvent = {
  id: '01KB0000000000000000000000',
  sequence: 42,
  name: 'manifest.pushed',
  time: '2026-11-26T04:00:00.000Z',
  data: {
    repository: 'team/app',
    tag: '1',
    digest: DIGEST,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    size: 712,
    actor: 'alice',
    request: REQUEST
  }
}

it('writes CloudEvents 1.0 in structured JSON', () => {
  const { id, contentType, body } = formatEvent(EVENT, 'cloudevents', CONTEXT)
  expect({ id, contentType }).toEqual({ id: EVENT.id, contentType: 'application/cloudevents+json; charset=utf-8' })
  expect(JSON.parse(body)).toEqual({
    specversion: '1.0',
    id: EVENT.id,
    source: `/mesh/${PEER_ID}`,
    type: 'dev.layermesh.manifest.pushed.v1',
    subject: 'team/app:1',
    time: '2026-11-26T04:00:00.000Z',
    datacontenttype: 'application/json',
    sequence: '0000000000000042',
    data: EVENT.data
  })
})

it('writes the envelope of distribution', () => {
  const { id, contentType, body } = formatEvent(EVENT, 'docker', CONTEXT)
  expect({ id, contentType }).toEqual({
    id: EVENT.id,
    contentType: 'application/vnd.docker.distribution.events.v2+json'
  })
  expect(JSON.parse(body)).toEqual({
    events: [
      {
        id: EVENT.id,
        timestamp: '2026-11-26T04:00:00.000Z',
        action: 'push',
        target: {
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          size: 712,
          digest: DIGEST,
          length: 712,
          repository: 'team/app',
          url: `http://127.0.0.1:5000/v2/team/app/manifests/${DIGEST}`,
          tag: '1'
        },
        request: {
          id: 'r1',
          addr: '192.0.2.7',
          host: 'registry.example',
          method: 'PUT',
          useragent: 'docker/29'
        },
        actor: { name: 'alice' },
        source: { addr: '127.0.0.1:5000', instanceID: PEER_ID }
      }
    ]
  })
})

it('writes blobs, mounts and deletions as distribution does', () => {
  const targetOf = (event: Pick<RecordedEvent, 'name' | 'data'>) => {
    const [first] = JSON.parse(formatEvent({ ...EVENT, ...event }, 'docker', CONTEXT).body).events
    return { action: first.action, ...first.target, request: first.request }
  }
  expect(targetOf({ name: 'blob.mounted', data: { repository: 'b', digest: DIGEST, from: 'a' } })).toEqual({
    action: 'mount',
    mediaType: 'application/octet-stream',
    digest: DIGEST,
    repository: 'b',
    fromRepository: 'a',
    url: `http://127.0.0.1:5000/v2/b/blobs/${DIGEST}`
  })
  expect(targetOf({ name: 'tag.deleted', data: { repository: 'b', tag: '1' } })).toEqual({
    action: 'delete',
    repository: 'b',
    tag: '1'
  })
})

it('writes a ping without an event for docker', () => {
  const ping: RecordedEvent = { ...EVENT, name: 'ping', data: {} }
  expect(JSON.parse(formatEvent(ping, 'docker', CONTEXT).body)).toEqual({ events: [] })
  expect(JSON.parse(formatEvent(ping, 'cloudevents', CONTEXT).body)).toMatchObject({ type: 'dev.layermesh.ping.v1' })
})
