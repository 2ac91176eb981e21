import { formatImageReference, type ImageReference, OciError, registryHostOf } from '@layermesh/oci'

/** What is said of an image that nobody has who was asked: a name without a registry is one of the mesh's own. */
export function unknownImage(reference: ImageReference): OciError {
  const name = formatImageReference(reference)
  const host = registryHostOf(reference.repository)
  const message =
    host === undefined
      ? `no node knows ${name}; an image of another registry is named with it, such as docker.io/${name}`
      : `no node knows ${name}, and none could get it from ${host}`
  return new OciError('MANIFEST_UNKNOWN', message, { detail: { ...reference } })
}
