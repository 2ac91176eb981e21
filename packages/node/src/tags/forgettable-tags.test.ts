import { digestOf, MEDIA_TYPE, mirroredRepository, ownRepository, parseTag, type Repository } from '@layermesh/oci'
import { peerIdOf, sealTagRecord } from '@layermesh/trust'
import { describe, expect, it } from 'vitest'
import { makeIdentity } from '../testing/notices.ts'
import { ForgettableTags } from './forgettable-tags.ts'

const NOW = 1_800_000_000_000
const HOUR_MS = 3_600_000
const APP = ownRepository('team/app')
const HUB = mirroredRepository('docker.io', 'library/nginx')
const tag = parseTag('1')
const digest = digestOf(Buffer.from('a'))
const trusted = await makeIdentity()
const stranger = await makeIdentity()
const trust = { maySign: (peerId: string) => peerId === peerIdOf(trusted.privateKey) }
const authority = {
  isAuthority: () => true,
  isMirrored: (repository: Repository) => repository === HUB
}

interface Kept {
  readonly repository?: Repository
  readonly deleted?: boolean
  readonly expiredMs: number
  readonly sequence?: number
  readonly by?: typeof trusted
}

async function ask(
  isSeed: boolean,
  { repository = APP, deleted = false, expiredMs, sequence = 5, by = trusted }: Kept
) {
  const expiresAt = NOW - expiredMs
  const statement = { repository, tag, sequence, issuedAt: expiresAt - HOUR_MS, expiresAt }
  const meaning = deleted ? { deleted: true as const } : { digest, mediaType: MEDIA_TYPE.ociManifest, size: 1 }
  const envelope = await sealTagRecord({ ...statement, ...meaning }, by.privateKey)
  const forgettable = new ForgettableTags({ trust, authority: isSeed ? authority : undefined, now: () => NOW })
  const entry = { repository, tag, sequence, envelope, confirmedAt: 0, ...(deleted ? {} : { digest }) }
  return await forgettable.mayForget(entry)
}

const DAY_MS = 24 * HOUR_MS

describe('a record of a tag may be forgotten', () => {
  it('a day after it expired, when all that it outdid has expired too', async () => {
    for (const deleted of [true, false]) {
      expect(await ask(false, { deleted, expiredMs: DAY_MS })).toBe(true)
      expect(await ask(false, { deleted, expiredMs: DAY_MS - 1 })).toBe(false)
      expect(await ask(true, { repository: HUB, deleted, expiredMs: DAY_MS })).toBe(true)
      expect(await ask(true, { repository: HUB, deleted, expiredMs: DAY_MS - 1 })).toBe(false)
    }
  })

  it('by a seed that signs it only if it is a tombstone', async () => {
    expect(await ask(true, { deleted: true, expiredMs: DAY_MS })).toBe(true)
    expect(await ask(true, { deleted: false, expiredMs: 1_000 * DAY_MS })).toBe(false)
  })

  it('by a seed only if its sequence may become that of the repository', async () => {
    expect(await ask(true, { deleted: true, expiredMs: DAY_MS, by: stranger })).toBe(false)
    expect(await ask(true, { deleted: true, expiredMs: DAY_MS, sequence: 2 ** 52 })).toBe(false)
    expect(await ask(false, { deleted: true, expiredMs: DAY_MS, by: stranger })).toBe(true)
  })

  it('never when it can not be read', async () => {
    const forgettable = new ForgettableTags({ trust, authority: undefined, now: () => NOW })
    const entry = { repository: APP, tag, sequence: 1, envelope: new Uint8Array(10), confirmedAt: 0 }
    expect(await forgettable.mayForget(entry)).toBe(false)
  })
})
