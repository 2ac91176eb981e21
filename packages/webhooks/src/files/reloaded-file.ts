import { open } from 'node:fs/promises'
import { errorCode, WebhookError } from '../errors.ts'

const MAX_FILE_BYTES = 1024 * 1024
const OTHERS_MASK = 0o007

export interface ReloadedFileOptions<Value> {
  readonly path: string
  /** What it holds, for messages: `the secret file`. */
  readonly what: string
  /** @throws {TypeError} whose message says what is wrong, without showing any of the text */
  parse(text: string): Value
  /** Whether it is refused when every user of the machine can read it. */
  readonly secret: boolean
  /** Told when a changed file can't be used, so that what it held before goes on being used. */
  onUnusable(error: WebhookError): void
}

/**
 * A file that is read again when it has changed, such as one with secrets that are rotated. A change that can't be used
 * leaves what was read before in use: a mounted secret may be away for a moment while it is replaced.
 */
export class ReloadedFile<Value> {
  readonly #options: ReloadedFileOptions<Value>
  #held: { readonly version: string; readonly value: Value } | undefined
  #complaint: string | undefined

  constructor(options: ReloadedFileOptions<Value>) {
    this.#options = options
  }

  /** What the file holds now. @throws {WebhookError} FILE_UNUSABLE when it never held anything usable */
  async read(): Promise<Value> {
    try {
      this.#held = await this.#readIfChanged()
      this.#complaint = undefined
      return this.#held.value
    } catch (error) {
      const { path, what, onUnusable } = this.#options
      const reason =
        error instanceof TypeError ? error.message : `can not be read (${errorCode(error) ?? String(error)})`
      const unusable = new WebhookError('FILE_UNUSABLE', `${what} ${path} ${reason}`, { cause: error })
      if (this.#held === undefined) throw unusable
      if (this.#complaint !== unusable.message) onUnusable(unusable)
      this.#complaint = unusable.message
      return this.#held.value
    }
  }

  async #readIfChanged(): Promise<{ version: string; value: Value }> {
    const { path, parse, secret } = this.#options
    await using file = await open(path, 'r')
    const { dev, ino, size, mtimeNs, ctimeNs, mode } = await file.stat({ bigint: true })
    const version = [dev, ino, size, mtimeNs, ctimeNs].join(':')
    if (this.#held?.version === version) return this.#held
    if (secret && process.platform !== 'win32' && (Number(mode) & OTHERS_MASK) !== 0) {
      throw new TypeError('can be read by every user of this machine; run: chmod o-rwx FILE')
    }
    if (size > MAX_FILE_BYTES) throw new TypeError(`has ${size} bytes, more than the ${MAX_FILE_BYTES} that are read`)
    return { version, value: parse(await file.readFile('utf8')) }
  }
}
