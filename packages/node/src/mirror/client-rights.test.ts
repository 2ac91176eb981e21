import { type Digest, digestOf, mirroredRepository, parseTag } from '@layermesh/oci'
import type { UpstreamIdentity } from '@layermesh/upstream'
import { beforeEach, describe, expect, it } from 'vitest'
import { FakeUpstream, mirrorsOf } from '../testing/fake-upstream.ts'
import { ClientRights, type PublicRepository } from './client-rights.ts'

const MINUTE = 60_000
const MAX_STALE = 60 * MINUTE
const OWN = 'Basic Ym9iOnNlY3JldA=='
const OTHER = 'Basic ZXZlOmd1ZXNz'
const repository = mirroredRepository('docker.io', 'team/app')
const manifest = parseTag('1')

let now: number
let upstream: FakeUpstream
let lines: unknown[]
beforeEach(() => {
  now = 1_800_000_000_000
  lines = []
  upstream = new FakeUpstream()
  upstream.tag('team/app:1', Buffer.from('one'))
})

/** Bob alone may pull. */
const bobOnly = (as: UpstreamIdentity) => typeof as === 'object' && as.authorization === OWN
const everybody = () => true

function makeRights(options: { judges?: boolean; publicOnes?: Map<string, PublicRepository>; known?: Digest } = {}) {
  const { judges = true, publicOnes = new Map() } = options
  const rights = new ClientRights({
    mirrors: mirrorsOf(upstream, { judgesClients: judges }),
    publicOnes,
    someManifest: async () => options.known,
    maxStaleMsOf: () => MAX_STALE,
    log: { debug: (...line) => lines.push(line) },
    now: () => now
  })
  const admitsTo = (content: Parameters<typeof rights.admits>[0]['content'], authorization?: string) =>
    rights.admits({ repository, content, authorization })
  const admits = (authorization?: string) => admitsTo({ manifest }, authorization)
  return { admits, admitsTo, publicOnes }
}

describe('what a node pulls by credentials of its own', () => {
  it('goes to everybody when the registry gives it to everybody', async () => {
    upstream.allowed = everybody
    const { admits } = makeRights()
    expect([await admits(), await admits(OWN)]).toEqual([true, true])
    expect(upstream.asked).toEqual(['HEAD team/app 1 anonymous'])
  })

  it('goes only to clients to whom the registry gives it itself', async () => {
    upstream.allowed = bobOnly
    const { admits } = makeRights()
    expect([await admits(), await admits(OTHER), await admits(OWN)]).toEqual([false, false, true])
    expect(upstream.asked).toEqual(['anonymous', OTHER, OWN].map((who) => `HEAD team/app 1 ${who}`))
  })

  it('goes to all clients where the settings say so, and nothing is asked', async () => {
    upstream.allowed = () => false
    expect(await makeRights({ judges: false }).admits()).toBe(true)
    expect(upstream.asked).toEqual([])
  })

  it('is asked about again: after five minutes what was allowed, after half a minute what was refused', async () => {
    upstream.allowed = bobOnly
    const { admits } = makeRights()
    const asked = async (authorization?: string) => {
      const before = upstream.asked.length
      await admits(authorization)
      return upstream.asked.slice(before).map((line) => line.slice('HEAD team/app 1 '.length))
    }
    expect(await asked(OWN)).toEqual(['anonymous', OWN])
    now += 29_000
    expect(await asked(OWN)).toEqual([])
    now += 1_000
    expect(await asked(OWN)).toEqual(['anonymous'])
    now += 5 * MINUTE
    expect(await asked(OWN)).toEqual(['anonymous', OWN])
  })

  it('goes no more to whom the registry refuses it from now on', async () => {
    upstream.allowed = bobOnly
    const { admits } = makeRights()
    expect(await admits(OWN)).toBe(true)
    upstream.allowed = () => false
    now += 6 * MINUTE
    expect(await admits(OWN)).toBe(false)
    upstream.failing = 'UNREACHABLE'
    now += MINUTE
    expect(await admits(OWN)).toBe(false)
  })

  it.each(['UNREACHABLE', 'UNAVAILABLE', 'RATE_LIMITED'] as const)(
    'still goes to whom it went before while the registry answers %s, as long as the policy says, and to nobody else',
    async (failure) => {
      upstream.allowed = bobOnly
      const { admits } = makeRights()
      await admits(OWN)
      upstream.failing = failure
      now += MAX_STALE
      expect([await admits(OWN), await admits(OTHER), await admits()]).toEqual([true, false, false])
      now += 1
      expect(await admits(OWN)).toBe(false)
    }
  )

  it('goes to everybody after a restart with the registry gone, when it was public', async () => {
    upstream.allowed = everybody
    const { admits, publicOnes } = makeRights()
    await admits()
    upstream.failing = 'UNREACHABLE'
    now += 10 * MINUTE
    expect(await makeRights({ publicOnes }).admits()).toBe(true)
    now += MAX_STALE
    expect(await makeRights({ publicOnes }).admits()).toBe(false)
  })

  it('is remembered as public no more once the registry asks who wants it', async () => {
    upstream.allowed = everybody
    const { admits, publicOnes } = makeRights()
    await admits()
    upstream.allowed = bobOnly
    now += 6 * MINUTE
    expect(await admits()).toBe(false)
    expect(publicOnes.size).toBe(0)
  })

  it('is judged by the whole repository: blobs, lists and other manifests are asked about no more', async () => {
    upstream.allowed = bobOnly
    const { admits, admitsTo } = makeRights()
    await admits(OWN)
    const before = upstream.asked.length
    const blob = digestOf(Buffer.from('layer'))
    for (const content of [{ blob }, undefined, { manifest: blob }]) expect(await admitsTo(content, OWN)).toBe(true)
    expect(upstream.asked.length).toBe(before)
  })

  it('is judged by the blob, some manifest or the list when no tag was asked for before', async () => {
    upstream.allowed = everybody
    const layer = upstream.add(Buffer.from('layer'))
    await makeRights().admitsTo({ blob: layer })
    const known = digestOf(Buffer.from('one'))
    await makeRights({ known }).admitsTo(undefined)
    await makeRights().admitsTo(undefined)
    expect(upstream.asked).toEqual([
      `HEAD blob team/app ${layer} anonymous`,
      `HEAD team/app ${known} anonymous`,
      'tags team/app  anonymous'
    ])
  })

  it('is not given when the registry says that there is nothing, as some do to whom they hide it from', async () => {
    const { admits, admitsTo } = makeRights()
    expect(await admitsTo({ manifest: parseTag('2') })).toBe(false)
    expect(await admits()).toBe(true)
  })

  it('is given no more when the registry begins to hide it', async () => {
    upstream.allowed = everybody
    const { admits } = makeRights()
    expect(await admits()).toBe(true)
    upstream.untag('team/app:1')
    now += 6 * MINUTE
    expect(await admits()).toBe(false)
  })

  it('is asked about once by all who ask at one time', async () => {
    upstream.allowed = bobOnly
    const { admits } = makeRights()
    await Promise.all([admits(OWN), admits(OWN), admits(OWN)])
    expect(upstream.asked).toHaveLength(2)
  })

  it('leaves no credential in the log', async () => {
    upstream.failing = 'UNAVAILABLE'
    await makeRights().admits(OWN)
    expect(lines.length).toBeGreaterThan(0)
    expect(JSON.stringify(lines)).not.toContain(OWN)
  })
})
