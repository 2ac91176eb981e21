import type { ContentStore, Pin } from '@layermesh/content'
import { type Digest, type ImageReference, OciError } from '@layermesh/oci'
import type { RegistryManifests, RegistryTags } from '@layermesh/registry'
import { unknownImage } from '../unknown-image.ts'

export interface ImagePinsComponents {
  readonly content: ContentStore
  readonly tags: Pick<RegistryTags, 'resolve'>
  readonly manifests: Pick<RegistryManifests, 'get'>
  /** In ms since 1970. */
  now(): number
}

/** More would say that nothing may be removed at all. */
const MAX_PINS = 1_000

/** Keeps images in this node whatever space is needed. */
export class ImagePins {
  readonly #components: ImagePinsComponents

  constructor(components: ImagePinsComponents) {
    this.#components = components
  }

  /**
   * Pins the manifest that a reference means now, which is brought here for that. What it names is kept once it is here.
   * @param text the reference as it was given
   * @throws {OciError} MANIFEST_UNKNOWN, TOOMANYREQUESTS
   */
  async add(reference: ImageReference, text: string, signal: AbortSignal): Promise<Pin> {
    const { content, manifests, now } = this.#components
    const { repository } = reference
    if ((await this.list()).length >= MAX_PINS) {
      throw new OciError('TOOMANYREQUESTS', `${MAX_PINS} images are pinned; unpin some first`)
    }
    const digest = await this.#digestOf(reference, signal)
    if (!(await manifests.get(repository, digest, signal))) throw unknownImage(reference)
    const pin = { repository, digest, reference: text, at: now() }
    await content.pins.add(pin)
    return pin
  }

  /**
   * Takes back the pins of a digest, or those that were made for this reference, whatever it means now.
   * @returns how many there were
   */
  async remove({ repository, digest }: ImageReference, text: string): Promise<number> {
    const { content } = this.#components
    const pins = (await this.list()).filter(
      (pin) => pin.repository === repository && (pin.digest === digest || pin.reference === text)
    )
    let removed = 0
    for (const pin of pins) if (await content.pins.remove(pin.repository, pin.digest)) removed++
    return removed
  }

  async list(): Promise<Pin[]> {
    const pins: Pin[] = []
    for await (const pin of this.#components.content.pins.list()) pins.push(pin)
    return pins
  }

  async #digestOf(reference: ImageReference, signal: AbortSignal): Promise<Digest> {
    const { repository, tag, digest } = reference
    if (digest !== undefined) return digest
    const resolved = tag && (await this.#components.tags.resolve(repository, tag, signal))
    if (resolved) return resolved.digest
    throw unknownImage(reference)
  }
}
