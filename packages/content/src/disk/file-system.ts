/**
 * The few calls of `node:fs/promises` that the store makes, so that a test can pass in one whose disk is full or
 * fails. Reads of blobs are done with the descriptor by the hashing threads.
 */
export interface FileSystem {
  open(path: string, flags: string | number): Promise<FileHandle>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  mkdir(path: string, options: { readonly mode: number; readonly recursive?: boolean }): Promise<unknown>
  readdir(
    path: string,
    options: { readonly withFileTypes: true }
  ): Promise<readonly { readonly name: string; isFile(): boolean }[]>
  statfs(path: string): Promise<{ readonly blocks: number; readonly bavail: number; readonly bsize: number }>
}

export interface FileHandle {
  readonly fd: number
  write(bytes: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }>
  truncate(length: number): Promise<void>
  datasync(): Promise<void>
  sync(): Promise<void>
  /** `blocks` are of 512 bytes. */
  stat(): Promise<{ readonly size: number; readonly blocks: number }>
  close(): Promise<void>
}
