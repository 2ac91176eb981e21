import type { Digest } from '@layermesh/oci'

/** A file among those that make up images. */
export interface FileSummary {
  /** Length in bytes. */
  readonly size: number
  /** Of its content, where reading it once has shown that. */
  readonly digest?: Digest
  /** How it begins: as much as tells formats apart. */
  readonly head?: Uint8Array
}

/** Takes the content of a file, all of it. */
export type TakeFile = (name: string, size: number, bytes: AsyncIterable<Uint8Array>) => Promise<void>

/** The files of images, wherever they lie. Names are relative and parted by `/`. Failures are {@link CliFailure}s. */
export interface ImageFiles {
  stat(name: string): Promise<FileSummary | undefined>
  /** A small file, whole; undefined when there is none. */
  read(name: string, maxBytes: number): Promise<Uint8Array | undefined>
  /** Gives each of these files once, one after the other, in the order that is quickest. */
  stream(names: ReadonlySet<string>, take: TakeFile): Promise<void>
  close(): Promise<void>
}
