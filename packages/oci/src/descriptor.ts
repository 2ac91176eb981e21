import type { Digest } from './digest.ts'

/** What a manifest says of a piece of content (image-spec §Descriptors). */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  /** Length of the content, in bytes. */
  readonly size: number
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
  readonly platform?: Platform
  /** Where a non-distributable layer may be had; layermesh never follows it. */
  readonly urls?: readonly string[]
}

export interface Platform {
  readonly architecture: string
  readonly os: string
  readonly variant?: string
}
