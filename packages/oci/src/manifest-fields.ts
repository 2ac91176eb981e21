import type { Descriptor, Platform } from './descriptor.ts'
import { isDigest } from './digest.ts'
import { OciError } from './errors.ts'

/** A JSON object of which nothing is known yet. */
export type JsonObject = Readonly<Record<string, unknown>>

/** A manifest that can't be accepted. */
export function invalidManifest(message: string, cause?: unknown): OciError {
  return new OciError('MANIFEST_INVALID', message, { cause })
}

/** @throws {OciError} MANIFEST_INVALID when `value` is no JSON object */
export function readObject(value: unknown, where: string): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject
  throw invalidManifest(`${where} must be an object`)
}

/** A string; undefined when it is absent, null or empty, which Go programs do not tell apart. @throws {OciError} MANIFEST_INVALID */
export function readOptionalString(value: unknown, where: string): string | undefined {
  if (value === undefined || value === null || value === '') return undefined
  if (typeof value === 'string') return value
  throw invalidManifest(`${where} must be a string`)
}

/** A map of strings; undefined when it is absent or null. @throws {OciError} MANIFEST_INVALID */
export function readAnnotations(value: unknown, where: string): Readonly<Record<string, string>> | undefined {
  if (value === undefined || value === null) return undefined
  const map = readObject(value, where)
  if (Object.values(map).every((entry) => typeof entry === 'string')) return map as Record<string, string>
  throw invalidManifest(`${where} must map strings to strings`)
}

/** The descriptors of a list; an absent or null list is an empty one. @throws {OciError} MANIFEST_INVALID, DIGEST_INVALID */
export function readDescriptors(value: unknown, where: string): Descriptor[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw invalidManifest(`${where} must be a list`)
  return value.map((entry, index) => readDescriptor(entry, `${where}[${index}]`))
}

const DESCRIPTOR_FIELDS = ['mediaType', 'digest', 'size', 'artifactType', 'annotations', 'platform', 'urls', 'data']

/** A descriptor with all that it must have (image-spec §Descriptors). @throws {OciError} MANIFEST_INVALID, DIGEST_INVALID */
export function readDescriptor(value: unknown, where: string): Descriptor {
  const fields = readObject(value, where)
  refuseLookalikes(fields, DESCRIPTOR_FIELDS, where)
  const mediaType = readOptionalString(fields.mediaType, `${where}.mediaType`)
  if (mediaType === undefined) throw invalidManifest(`${where} must have a mediaType`)
  const { digest } = fields
  if (!isDigest(digest)) {
    throw new OciError('DIGEST_INVALID', `${where}.digest must be a sha256 or sha512 digest in lower-case hex`)
  }
  const artifactType = readOptionalString(fields.artifactType, `${where}.artifactType`)
  const annotations = readAnnotations(fields.annotations, `${where}.annotations`)
  const platform = readPlatform(fields.platform, `${where}.platform`)
  const urls = readUrls(fields.urls, `${where}.urls`)
  return {
    mediaType,
    digest,
    size: readSize(fields.size, `${where}.size`),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
    ...(platform === undefined ? {} : { platform }),
    ...(urls === undefined ? {} : { urls })
  }
}

/**
 * Refuses a key that is one of `known` but for its case: Go's JSON decoder, which most clients use, takes `Layers` for
 * `layers`, and would see another manifest than this registry did.
 */
export function refuseLookalikes(fields: JsonObject, known: readonly string[], where: string): void {
  const exact = new Set(known)
  const folded = new Set(known.map(foldCase))
  for (const key of Object.keys(fields)) {
    if (!exact.has(key) && folded.has(foldCase(key)))
      throw invalidManifest(`${where} misspells the case of a known key`)
  }
}

/** One form for all that Unicode holds equal but for case: the long s and the Kelvin sign too. */
function foldCase(key: string): string {
  return key.toUpperCase().toLowerCase()
}

function readSize(value: unknown, where: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw invalidManifest(`${where} must be a number of bytes`)
}

function readUrls(value: unknown, where: string): readonly string[] | undefined {
  if (value === undefined || value === null) return undefined
  if (Array.isArray(value) && value.every((url) => typeof url === 'string')) return value
  throw invalidManifest(`${where} must be a list of strings`)
}

/** A platform that does not tell both what it must is passed over: it only serves those who choose among children. */
function readPlatform(value: unknown, where: string): Platform | undefined {
  if (value === undefined || value === null) return undefined
  const fields = readObject(value, where)
  const architecture = readOptionalString(fields.architecture, `${where}.architecture`)
  const os = readOptionalString(fields.os, `${where}.os`)
  const variant = readOptionalString(fields.variant, `${where}.variant`)
  if (architecture === undefined || os === undefined) return undefined
  return { architecture, os, ...(variant === undefined ? {} : { variant }) }
}
