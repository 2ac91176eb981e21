import {
  type Digest,
  digestAlgorithm,
  digestOf,
  isDigest,
  isOciError,
  MAX_MANIFEST_BYTES,
  MEDIA_TYPE,
  parseManifest
} from '@layermesh/oci'
import { UpstreamError } from '../errors.ts'
import { type AnswerHeaders, discard } from '../http/answer.ts'
import type { FetchedManifest, ManifestHead, UpstreamRequest } from '../interfaces.ts'
import type { Question, Requests } from './requests.ts'

/** What this node can read; registries that have something else say 404 or convert it. */
const ACCEPT = [
  MEDIA_TYPE.ociIndex,
  MEDIA_TYPE.ociManifest,
  MEDIA_TYPE.dockerManifestList,
  MEDIA_TYPE.dockerManifest
].join(', ')

/** The manifests of a registry. */
export class UpstreamManifests {
  readonly #requests: Requests
  readonly #registry: string

  /** @param registry for messages */
  constructor(requests: Requests, registry: string) {
    this.#requests = requests
    this.#registry = registry
  }

  /** A registry that does not answer `HEAD` fully is asked by `GET`. @throws {UpstreamError} */
  async head(name: string, reference: string, request: UpstreamRequest): Promise<ManifestHead | undefined> {
    const answer = await this.#requests.ask(questionFor('HEAD', name, reference), request)
    discard(answer)
    answer.release()
    if (answer.status === 404) return undefined
    const head = answer.status === 200 ? this.#readHead(answer.headers, reference) : undefined
    if (head !== undefined) return head
    const manifest = await this.get(name, reference, request)
    return manifest && { digest: manifest.digest, mediaType: manifest.mediaType, size: manifest.size }
  }

  /** @throws {UpstreamError} MALFORMED for one that is too long or does not fit its digest */
  async get(name: string, reference: string, request: UpstreamRequest): Promise<FetchedManifest | undefined> {
    const question = questionFor('GET', name, reference)
    const answer = await this.#requests.askForBytes(question, request, MAX_MANIFEST_BYTES)
    if (answer === undefined) return undefined
    const { headers, bytes } = answer
    const expected = this.#expected(headers, reference)
    const digest = digestOf(bytes, expected === undefined ? 'sha256' : digestAlgorithm(expected))
    if (expected !== undefined && digest !== expected)
      throw this.#malformed('gave a manifest that does not fit its digest')
    return { digest, mediaType: this.#mediaTypeOf(headers, bytes), size: bytes.byteLength, bytes }
  }

  #readHead(headers: AnswerHeaders, reference: string): ManifestHead | undefined {
    const digest = this.#expected(headers, reference)
    const mediaType = essenceOf(headers.get('content-type'))
    const size = headers.length
    if (digest === undefined || mediaType === undefined || size === undefined || size === 0) return undefined
    return { digest, mediaType, size }
  }

  /** The digest that was asked for, else the one that the registry tells. */
  #expected(headers: AnswerHeaders, reference: string): Digest | undefined {
    const told = headers.get('docker-content-digest')
    if (told !== undefined && !isDigest(told)) throw this.#malformed('told a digest that is none')
    if (!isDigest(reference)) return told
    // A digest of another algorithm may be told of the same bytes.
    if (told !== undefined && digestAlgorithm(told) === digestAlgorithm(reference) && told !== reference) {
      throw this.#malformed('told another digest than it was asked for')
    }
    return reference
  }

  /** As the registry tells it, else as the manifest says itself. */
  #mediaTypeOf(headers: AnswerHeaders, bytes: Uint8Array): string {
    const told = essenceOf(headers.get('content-type'))
    if (told !== undefined) return told
    try {
      return parseManifest(bytes).mediaType
    } catch (error) {
      if (!isOciError(error)) throw error
      throw this.#malformed('gave a manifest of an unknown type')
    }
  }

  #malformed(message: string): UpstreamError {
    return new UpstreamError('MALFORMED', this.#registry, `${this.#registry} ${message}`)
  }
}

function questionFor(method: Question['method'], name: string, reference: string): Question {
  return { method, kind: 'manifest', name, path: `manifests/${reference}`, headers: { accept: ACCEPT } }
}

/** A media type without its parameters. */
function essenceOf(contentType: string | undefined): string | undefined {
  const essence = contentType?.split(';', 1)[0]?.trim().toLowerCase()
  return essence === '' ? undefined : essence
}
