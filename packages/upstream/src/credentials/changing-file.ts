import { open } from 'node:fs/promises'
import { errorCode, unavailable } from './credential-error.ts'

const MAX_FILE_BYTES = 1024 * 1024
const OTHERS_MASK = 0o007

export interface ChangingFileInit<Value> {
  readonly path: string
  /** What it is, for messages: `the password file`. */
  readonly what: string
  /** Whether it is refused when every user of the machine can read it. */
  readonly secret: boolean
  /** @throws {TypeError} whose message says what is wrong, without showing any of the text */
  parse(text: string): Value | Promise<Value>
}

/** A file that is looked at each time and read again when it has changed, since secrets are rotated. */
export class ChangingFile<Value> {
  readonly #init: ChangingFileInit<Value>
  #held: { readonly version: string; readonly value: Value } | undefined

  constructor(init: ChangingFileInit<Value>) {
    this.#init = init
  }

  /**
   * What it holds now. A change that can not be used leaves what was read before in use: a mounted secret is away for a
   * moment while it is replaced.
   * @throws {UpstreamError} CREDENTIALS_UNAVAILABLE when it never held anything usable
   */
  async read(host: string): Promise<Value> {
    try {
      this.#held = await this.#readIfChanged()
    } catch (error) {
      const { path, what } = this.#init
      const reason = error instanceof TypeError ? error.message : `can not be read (${errorCode(error)})`
      if (this.#held === undefined) throw unavailable(host, `${what} ${path} ${reason}`)
    }
    return this.#held.value
  }

  async #readIfChanged(): Promise<{ version: string; value: Value }> {
    const { path, parse, secret } = this.#init
    await using file = await open(path, 'r')
    const { dev, ino, size, mtimeNs, ctimeNs, mode } = await file.stat({ bigint: true })
    const version = [dev, ino, size, mtimeNs, ctimeNs].join(':')
    if (this.#held?.version === version) return this.#held
    if (secret && process.platform !== 'win32' && (Number(mode) & OTHERS_MASK) !== 0) {
      throw new TypeError('can be read by every user of this machine; run: chmod o-rwx FILE')
    }
    if (size > MAX_FILE_BYTES) throw new TypeError(`has ${size} bytes, more than the ${MAX_FILE_BYTES} that are read`)
    return { version, value: await parse(await file.readFile('utf8')) }
  }
}
