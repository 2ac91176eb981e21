/** Media types of OCI image-spec 1.1 and of Docker's schema 2. */
export const MEDIA_TYPE = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociEmpty: 'application/vnd.oci.empty.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerManifestList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerSchema1: 'application/vnd.docker.distribution.manifest.v1+json',
  dockerSchema1Signed: 'application/vnd.docker.distribution.manifest.v1+prettyjws'
} as const

const FOREIGN_LAYER = /^application\/vnd\.(docker\.image\.rootfs\.foreign\.|oci\.image\.layer\.nondistributable\.)/

/** Tells whether a layer of this type may lie elsewhere than in the registry (image-spec §Non-Distributable Layers). */
export function isNonDistributable(mediaType: string): boolean {
  return FOREIGN_LAYER.test(mediaType)
}

const IMAGE_TYPES: ReadonlySet<string> = new Set([MEDIA_TYPE.ociManifest, MEDIA_TYPE.dockerManifest])
const INDEX_TYPES: ReadonlySet<string> = new Set([MEDIA_TYPE.ociIndex, MEDIA_TYPE.dockerManifestList])

/** Tells whether this is the type of the manifest of one image or artifact. */
export function isImageManifestType(mediaType: string): boolean {
  return IMAGE_TYPES.has(mediaType)
}

/** Tells whether this is the type of a manifest that lists others: an OCI index or a Docker manifest list. */
export function isIndexType(mediaType: string): boolean {
  return INDEX_TYPES.has(mediaType)
}

/** Tells whether content of this type is a manifest that the registry reads. */
export function isManifestType(mediaType: string): boolean {
  return isImageManifestType(mediaType) || isIndexType(mediaType)
}
