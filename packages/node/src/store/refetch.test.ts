import type { BlobReader } from '@layermesh/content'
import { digestOf, mirroredRepository, ownRepository, type Repository } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { type RefetchComponents, refetch } from './refetch.ts'

const digest = digestOf(Buffer.from('a'))
const own = ownRepository('team/app')
const nginx = mirroredRepository('docker.io', 'library/nginx')

/** Fetches a blob that these repositories show; tells who was asked. */
async function ask(shownBy: readonly Repository[], { manifest = false, mirrors = true } = {}): Promise<string[]> {
  const asked: string[] = []
  const reader = {} as BlobReader
  const components = {
    content: {
      blobs: { open: async () => reader },
      repositories: {
        findBlob: async (_: unknown, except?: Repository) => shownBy.find((each) => each !== except),
        manifest: async () => (manifest ? {} : undefined)
      }
    },
    fetch: async () => {
      asked.push('mesh')
      return reader
    },
    mirrored: mirrors
      ? {
          blobs: {
            covers: (repository: Repository) => repository === nginx,
            open: async (repository: Repository) => {
              asked.push(`blob of ${repository}`)
              return reader
            }
          },
          manifests: { find: async (repository: Repository) => void asked.push(`manifest of ${repository}`) }
        }
      : undefined
  } as unknown as RefetchComponents
  expect(await refetch(components, { digest, size: 1 }, AbortSignal.timeout(120_000))).toBe(reader)
  return asked
}

it('asks the mesh for what is of its own, of nobody, or of a registry that is mirrored no more', async () => {
  expect(await ask([own])).toEqual(['mesh'])
  expect(await ask([])).toEqual(['mesh'])
  expect(await ask([nginx], { mirrors: false })).toEqual(['mesh'])
})

it('asks for what is mirrored in the way of its repository, also when an own one shows it too', async () => {
  expect(await ask([nginx])).toEqual([`blob of ${nginx}`])
  expect(await ask([own, nginx])).toEqual([`blob of ${nginx}`])
  expect(await ask([nginx], { manifest: true })).toEqual([`manifest of ${nginx}`])
})
