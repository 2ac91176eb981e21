import { type Access, DISK, type Disk } from '../setup/disk.ts'

/** The process is gone: nothing that it wanted to do afterwards happens. */
export class Crash extends Error {
  override readonly name = 'Crash'
}

/** The disk of this machine, on which a process dies at one of its steps: before it, or when it was half done. */
export class CrashingDisk implements Disk {
  #stepsLeft: number
  #dead = false
  readonly read = DISK.read
  readonly list = DISK.list
  readonly readLink = DISK.readLink
  readonly isDirectory = DISK.isDirectory

  /** @param steps how many are taken before the process dies */
  constructor(steps: number) {
    this.#stepsLeft = steps
  }

  /** Whether the process came to its end without dying. */
  get survived(): boolean {
    return !this.#dead
  }

  create(path: string, bytes: Uint8Array, access: Partial<Access>): Promise<void> {
    return this.#step(
      () => DISK.create(path, bytes, access),
      () => DISK.create(path, bytes.subarray(0, bytes.length / 2), access)
    )
  }

  rename(from: string, to: string): Promise<void> {
    return this.#step(() => DISK.rename(from, to))
  }

  remove(path: string): Promise<void> {
    return this.#step(() => DISK.remove(path))
  }

  makeDirectory(path: string, mode: number): Promise<void> {
    return this.#step(() => DISK.makeDirectory(path, mode))
  }

  removeDirectory(path: string): Promise<boolean> {
    return this.#step(() => DISK.removeDirectory(path))
  }

  sync(directory: string): Promise<void> {
    return this.#step(() => DISK.sync(directory))
  }

  async #step<Result>(act: () => Promise<Result>, half?: () => Promise<Result>): Promise<Result> {
    if (this.#dead) throw new Crash('no process is left')
    if (this.#stepsLeft === 0) {
      this.#dead = true
      await half?.()
      throw new Crash('killed')
    }
    this.#stepsLeft -= 1
    return act()
  }
}
