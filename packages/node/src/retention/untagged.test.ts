import { type Digest, digestOf, parseTag } from '@layermesh/oci'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HeldManifest, RepositoryContents } from './repository-contents.ts'
import { findUnneeded, subjectOfTag } from './untagged.ts'

const NOW = 1_800_000_000_000
const AFTER_MS = 1_000
const OLD = NOW - AFTER_MS
const YOUNG = OLD + 1

const digest = (name: string): Digest => digestOf(Buffer.from(name))

interface Given {
  readonly at?: number | undefined
  readonly of?: string
  readonly names?: readonly string[]
}

/** Manifests by name, old unless they say otherwise, and what tags mean. */
function contents(
  manifests: Record<string, Given>,
  tags: Record<string, string> = {},
  changedAt = OLD,
  pinned: readonly string[] = []
): RepositoryContents {
  return {
    pinned: pinned.map(digest),
    tags: Object.entries(tags).map(([tag, name]) => ({
      tag: parseTag(tag),
      digest: digest(name),
      changedAt,
      signer: 'x'
    })),
    manifests: new Map(
      Object.entries(manifests).map(([name, given]) => {
        const { of: subject, names = [] } = given
        const at = 'at' in given ? given.at : OLD
        const held: HeldManifest = {
          digest: digest(name),
          at,
          subject: subject && digest(subject),
          children: names.map(digest)
        } as HeldManifest
        return [held.digest, held]
      })
    )
  }
}

function unneeded(...given: Parameters<typeof contents>): string[] {
  const names = new Map(Object.keys(given[0]).map((name) => [digest(name), name]))
  return findUnneeded(contents(...given), AFTER_MS, NOW).manifests.map((each) => names.get(each) ?? '?')
}

describe('of the manifests of a repository', () => {
  it('those go that are old and that nothing needs', () => {
    expect(
      unneeded({ tagged: {}, old: {}, young: { at: YOUNG }, undated: { at: undefined } }, { v1: 'tagged' })
    ).toEqual(['old'])
  })

  it('those that are pinned stay, with what they need', () => {
    const images = { index: { names: ['amd64'] }, amd64: {}, signature: { of: 'index' }, old: {} }
    expect(unneeded(images, {}, OLD, ['index'])).toEqual(['old'])
  })

  it('what an index names stays, and goes with it', () => {
    const images = { index: { names: ['amd64', 'arm64'] }, amd64: {}, arm64: {} }
    expect(unneeded(images, { v1: 'index' })).toEqual([])
    expect(unneeded({ ...images, outer: { names: ['index'] } }, { v1: 'outer' })).toEqual([])
    expect(unneeded(images)).toEqual(['index', 'amd64', 'arm64'])
    expect(unneeded({ ...images, index: { ...images.index, at: YOUNG } })).toEqual([])
    expect(unneeded({ ...images, other: { names: ['arm64'] } }, { v2: 'other' })).toEqual(['index', 'amd64'])
  })

  it('what refers to one stays, and goes with it', () => {
    const signed = { image: {}, signature: { of: 'image' }, report: { of: 'signature' } }
    expect(unneeded(signed, { v1: 'image' })).toEqual([])
    expect(unneeded(signed)).toEqual(['image', 'signature', 'report'])
  })

  it('the subject of one that stays does so too', () => {
    const signed = { image: { names: ['part'] }, part: {}, signature: { of: 'image' } }
    expect(unneeded(signed, { keep: 'signature' })).toEqual([])
    expect(unneeded({ ...signed, signature: { of: 'image', at: YOUNG } })).toEqual([])
  })

  it('what refers to one that was never here goes when it is old', () => {
    expect(unneeded({ signature: { of: 'elsewhere' } })).toEqual(['signature'])
  })

  it('what refers to a part of an index stays with that index', () => {
    const signed = { index: { names: ['amd64'] }, amd64: {}, signature: { of: 'amd64' } }
    expect(unneeded(signed, { v1: 'index' })).toEqual([])
  })

  it('those that a tag with the name of a digest means stay with that digest, and do not hold it', () => {
    const tagOf = (name: string) => digest(name).replace(':', '-')
    const signed = { image: {}, signatures: { names: ['signature'] }, signature: { of: 'image' }, cosigned: {} }
    const tags = { [tagOf('image')]: 'signatures', [`${tagOf('image')}.sig`]: 'cosigned' }
    expect(unneeded(signed, { ...tags, v1: 'image' })).toEqual([])
    expect(unneeded(signed, tags, YOUNG)).toEqual([])
    expect(unneeded(signed, tags)).toEqual(['image', 'signature'])
    const { image: _gone, ...rest } = signed
    expect(findUnneeded(contents(rest, tags), AFTER_MS, NOW).tags.map(({ tag }) => tag)).toEqual(Object.keys(tags))
    expect(findUnneeded(contents(rest, tags, YOUNG), AFTER_MS, NOW).tags).toEqual([])
    expect(findUnneeded(contents(signed, tags), AFTER_MS, NOW).tags).toEqual([])
  })

  it('none goes that is tagged, young, named by or about or the subject of one that stays', () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
    const name = fc.constantFrom(...names)
    const manifest = fc.record(
      { at: fc.constantFrom(OLD, OLD, YOUNG, undefined), of: name, names: fc.array(name, { maxLength: 2 }) },
      { requiredKeys: ['at'] }
    )
    const tags = fc.dictionary(fc.constantFrom('v1', 'v2'), name)
    fc.assert(
      fc.property(fc.dictionary(name, manifest), tags, (given, tagged) => {
        const removed = new Set(unneeded(given as Record<string, Given>, tagged))
        for (const meaning of Object.values(tagged)) expect(removed.has(meaning)).toBe(false)
        for (const [each, { at, of, names: parts = [] }] of Object.entries(given)) {
          if (at !== OLD) expect(removed.has(each)).toBe(false)
          if (!removed.has(each)) {
            for (const part of parts) expect(removed.has(part)).toBe(false)
            if (of !== undefined) expect(removed.has(of)).toBe(false)
          } else if (of !== undefined && Object.hasOwn(given, of)) expect(removed.has(of)).toBe(true)
        }
      })
    )
  })
})

it('reads the digest that a tag is about', () => {
  const hex = 'a'.repeat(64)
  expect(subjectOfTag(parseTag(`sha256-${hex}`))).toBe(`sha256:${hex}`)
  expect(subjectOfTag(parseTag(`sha256-${hex}.sig`))).toBe(`sha256:${hex}`)
  for (const tag of ['latest', `sha256-${hex}a`, `sha256-${hex.slice(1)}`, `x-sha256-${hex}`]) {
    expect(subjectOfTag(parseTag(tag)), tag).toBeUndefined()
  }
})
