import type { RegistryLog } from '../log.ts'
import { readTlsMaterial, type TlsFiles, type TlsMaterial } from './material.ts'

export interface TlsReloaderComponents {
  /** Is given what the files hold when it has changed. */
  readonly server: { replace(material: TlsMaterial): void }
  readonly log: RegistryLog
}

export interface TlsReloaderOptions {
  /** How often the files are read, in ms. @default 10 000 */
  readonly everyMs?: number
}

const DEFAULT_EVERY_MS = 10_000
/** Time left of a certificate at which somebody should know, but no more than a quarter of its whole time. */
const SOON_MS = 7 * 24 * 60 * 60 * 1000

/**
 * Follows the files of a server's certificates. They are read rather than watched: that holds for the symbolic links of
 * Kubernetes, for network file systems, and for two writes within the resolution of a clock. A pair that does not fit,
 * or is half written, changes nothing until it is whole.
 */
export class TlsReloader {
  readonly #components: TlsReloaderComponents
  readonly #files: TlsFiles
  readonly #everyMs: number
  #current: TlsMaterial
  #complaint: string | undefined
  #warning: string | undefined
  #timer: NodeJS.Timeout | undefined

  /** @param current what the server has now */
  constructor(
    components: TlsReloaderComponents,
    files: TlsFiles,
    current: TlsMaterial,
    { everyMs = DEFAULT_EVERY_MS }: TlsReloaderOptions = {}
  ) {
    this.#components = components
    this.#files = files
    this.#current = current
    this.#everyMs = everyMs
  }

  /** What the server has now. */
  get current(): TlsMaterial {
    return this.#current
  }

  start(): void {
    this.#warnOfExpiry()
    this.#schedule()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** Looks at the files now. Never throws: what can't be used is logged, once. */
  async check(): Promise<void> {
    const { server, log } = this.#components
    try {
      const material = await readTlsMaterial(this.#files)
      this.#complaint = undefined
      if (isSame(material, this.#current)) return
      server.replace(material)
      this.#current = material
      log.info({ validTo: material.validTo.toISOString() }, 'took a new TLS certificate')
    } catch (error) {
      const complaint = String(error)
      if (complaint !== this.#complaint) {
        log.warn({ err: error }, 'the new TLS certificate can not be used; the one from before stays')
      }
      this.#complaint = complaint
    }
  }

  #schedule(): void {
    const timer = setTimeout(async () => {
      await this.check()
      this.#warnOfExpiry()
      if (this.#timer === timer) this.#schedule()
    }, this.#everyMs)
    this.#timer = timer.unref()
  }

  /** Says once of each certificate that it runs out soon, and once that it has. */
  #warnOfExpiry(): void {
    const { validFrom, validTo } = this.#current
    const leftMs = validTo.getTime() - Date.now()
    if (leftMs > Math.min(SOON_MS, (validTo.getTime() - validFrom.getTime()) / 4)) return
    const text = leftMs > 0 ? 'the TLS certificate runs out soon' : 'the TLS certificate has run out'
    const warning = `${text} ${validTo.toISOString()}`
    if (warning === this.#warning) return
    this.#warning = warning
    this.#components.log.warn({ certificate: this.#files.certificate, validTo: validTo.toISOString() }, text)
  }
}

function isSame(one: TlsMaterial, other: TlsMaterial): boolean {
  return one.certificate === other.certificate && one.key === other.key && one.clientCa === other.clientCa
}
