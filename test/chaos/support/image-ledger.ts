import { type Descriptor, type Digest, digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { noise } from '../../support/images/noise.ts'
import type { Random } from './random.ts'

const REPOSITORIES = ['load/app', 'load/web', 'load/tools'] as const
const MIN_LAYER_BYTES = 100
const MAX_LAYER_BYTES = 3 * 1024 * 1024
const MAX_LAYERS = 4

/** A blob that the test knows byte for byte. */
export interface LedgerBlob extends Descriptor {
  readonly content: Buffer
}

/** What an image is at this moment, as far as it was acknowledged. While a push or a deletion is under way, it may be there or not. */
type State = 'absent' | 'pushing' | 'live' | 'deleting'

/** An image of a repository; its layers are shared with other images and other repositories. */
export class LedgerImage {
  readonly repository: string
  readonly tag: string
  readonly blobs: readonly LedgerBlob[]
  readonly manifest: Buffer
  readonly digest: Digest
  #state: State = 'absent'
  #changes = 0

  constructor(repository: string, tag: string, config: LedgerBlob, layers: readonly LedgerBlob[]) {
    this.repository = repository
    this.tag = tag
    this.blobs = [config, ...layers]
    const [configPart, ...layerParts] = this.blobs.map(({ mediaType, digest, size }) => ({ mediaType, digest, size }))
    const mediaType = MEDIA_TYPE.ociManifest
    this.manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config: configPart, layers: layerParts }))
    this.digest = digestOf(this.manifest)
  }

  get state(): State {
    return this.#state
  }

  /** Notes what is about to happen or has happened. */
  become(state: State): void {
    this.#state = state
    this.#changes++
  }

  /** A question to ask later: whether the image was there all the time since. */
  watch(): () => boolean {
    const changes = this.#changes
    return () => this.#changes === changes
  }
}

/** All images of a load test, and what must be there of them. */
export class ImageLedger {
  readonly images: readonly [LedgerImage, ...LedgerImage[]]

  constructor(random: Random, { layers, images }: { readonly layers: number; readonly images: number }) {
    const pool = Array.from({ length: layers }, (_, index) =>
      blobOf(`layer-${index}`, random.integer(MIN_LAYER_BYTES, MAX_LAYER_BYTES), MEDIA_TYPE.ociLayerGzip)
    )
    const [first, ...others] = Array.from({ length: images }, (_, index) => {
      const count = random.integer(1, MAX_LAYERS)
      const chosen = new Set(Array.from({ length: count }, () => pool[random.integer(0, layers - 1)] as LedgerBlob))
      const config = blobOf(`config-${index}`, 500, MEDIA_TYPE.ociConfig)
      return new LedgerImage(random.pick([...REPOSITORIES]), `t${index}`, config, [...chosen])
    })
    if (first === undefined) throw new Error('a ledger has an image at least')
    this.images = [first, ...others]
  }

  pick(random: Random, state: State): LedgerImage | undefined {
    const [first, ...others] = this.images.filter((image) => image.state === state)
    return first && random.pick([first, ...others])
  }

  live(): LedgerImage[] {
    return this.images.filter(({ state }) => state === 'live')
  }

  /** Length of all that the live images are made of, each blob and manifest once. */
  liveBytes(): number {
    const sizes = new Map<Digest, number>()
    for (const { digest, manifest, blobs } of this.live()) {
      sizes.set(digest, manifest.length)
      for (const blob of blobs) sizes.set(blob.digest, blob.size)
    }
    return [...sizes.values()].reduce((sum, size) => sum + size, 0)
  }
}

function blobOf(name: string, size: number, mediaType: string): LedgerBlob {
  const content = Buffer.concat([...noise(name, size)])
  return { mediaType, digest: digestOf(content), size, content }
}
