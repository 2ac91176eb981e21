import { type Digest, parseRepository, parseTag } from '@layermesh/oci'
import type { RegistryEvent } from '@layermesh/registry'
import { expect, it } from 'vitest'
import { eventNameOf, toWebhookEvent } from './registry-events.ts'

const EVENT: RegistryEvent = {
  id: 'r1',
  action: 'push',
  target: 'manifest',
  repository: parseRepository('team/app'),
  digest: `sha256:${'a'.repeat(64)}` as Digest,
  tag: parseTag('1'),
  mediaType: 'application/json',
  size: 7,
  bytes: 7,
  actor: 'alice',
  method: 'PUT',
  host: 'registry.example',
  remoteAddress: '192.0.2.7',
  userAgent: undefined
}

it('names what the registry tells as receivers know it', () => {
  const nameOf = (event: Partial<RegistryEvent>) => eventNameOf({ ...EVENT, ...event })
  expect(nameOf({})).toBe('manifest.pushed')
  expect(nameOf({ action: 'pull' })).toBe('manifest.pulled')
  expect(nameOf({ action: 'mount', target: 'blob' })).toBe('blob.mounted')
  expect(nameOf({ action: 'delete', target: 'blob' })).toBe('blob.deleted')
})

it('leaves out chunks of a push, and tags, of which the seed tells', () => {
  const { digest: _digest, ...chunk } = { ...EVENT, target: 'blob' as const }
  expect(eventNameOf(chunk)).toBeUndefined()
  expect(eventNameOf({ ...EVENT, action: 'delete', target: 'tag' })).toBeUndefined()
})

it('tells what is known and no more', () => {
  expect(toWebhookEvent('manifest.pushed', EVENT)).toStrictEqual({
    name: 'manifest.pushed',
    data: {
      repository: 'team/app',
      digest: EVENT.digest,
      tag: '1',
      mediaType: 'application/json',
      size: 7,
      actor: 'alice',
      request: { id: 'r1', method: 'PUT', address: '192.0.2.7', host: 'registry.example' }
    }
  })
})
