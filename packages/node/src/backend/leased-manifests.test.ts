import { type Digest, digestOf, MEDIA_TYPE, ownRepository } from '@layermesh/oci'
import type { RegistryManifests } from '@layermesh/registry'
import { expect, it } from 'vitest'
import { LeasedManifests } from './leased-manifests.ts'

const APP = ownRepository('team/app')
const { signal } = new AbortController()
const [config, layer] = ['config', 'layer'].map((name) => digestOf(Buffer.from(name))) as [Digest, Digest]
const part = (digest: Digest) => ({ mediaType: 'application/octet-stream', digest, size: 5 })
const BYTES = Buffer.from(
  JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config: part(config), layers: [part(layer)] })
)
const DIGEST = digestOf(BYTES)

it('have what they name stay for whoever is given one, each time', async () => {
  const renewed: Digest[][] = []
  const manifests = new LeasedManifests(
    {
      get: async (_repository, digest) =>
        digest === DIGEST ? { digest, mediaType: MEDIA_TYPE.ociManifest, bytes: BYTES } : undefined
    } as Partial<RegistryManifests> as RegistryManifests,
    {
      renew: async (digests) => void renewed.push([...digests]),
      hold: () => {
        throw new Error('nothing is held')
      }
    }
  )
  expect(await manifests.get(APP, config, signal)).toBeUndefined()
  expect(renewed).toEqual([])
  for (let time = 0; time < 2; time++) expect((await manifests.get(APP, DIGEST, signal))?.digest).toBe(DIGEST)
  expect(renewed).toEqual([
    [DIGEST, config, layer],
    [DIGEST, config, layer]
  ])
})
