import { expect, it } from 'vitest'
import { isImageManifestType, isIndexType, isManifestType, isNonDistributable, MEDIA_TYPE } from './media-types.ts'

it('knows the four types of manifests', () => {
  expect(Object.values(MEDIA_TYPE).filter(isManifestType)).toEqual([
    MEDIA_TYPE.ociManifest,
    MEDIA_TYPE.ociIndex,
    MEDIA_TYPE.dockerManifest,
    MEDIA_TYPE.dockerManifestList
  ])
  expect(Object.values(MEDIA_TYPE).filter(isIndexType)).toEqual([MEDIA_TYPE.ociIndex, MEDIA_TYPE.dockerManifestList])
  expect(isImageManifestType(MEDIA_TYPE.dockerManifest)).toBe(true)
})

it('knows layers that may lie elsewhere', () => {
  expect(isNonDistributable('application/vnd.docker.image.rootfs.foreign.diff.tar.gzip')).toBe(true)
  expect(isNonDistributable('application/vnd.oci.image.layer.nondistributable.v1.tar')).toBe(true)
  expect(isNonDistributable('application/vnd.oci.image.layer.nondistributable.v1.tar+zstd')).toBe(true)
  expect(isNonDistributable(MEDIA_TYPE.ociLayerGzip)).toBe(false)
})
