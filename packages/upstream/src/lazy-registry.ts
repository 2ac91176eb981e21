import { stat } from 'node:fs/promises'
import type { UpstreamRegistry } from './interfaces.ts'
import type { OpenedRegistry } from './registry/open-registry.ts'

export interface LazyRegistryOptions {
  /** As repositories name it. */
  readonly host: string
  /** A file that it is opened with, and is opened anew with once it has changed. */
  readonly file?: string | undefined
}

export interface LazyRegistryComponents {
  /** @throws {UpstreamError}, in which case it is tried anew the next time */
  open(): Promise<OpenedRegistry>
  readonly log: { warn(fields: object, message: string): void }
}

interface Opened {
  readonly version: string | undefined
  readonly registry: Promise<OpenedRegistry>
}

/** A registry that is opened when it is asked the first time. */
export class LazyRegistry implements UpstreamRegistry {
  readonly host: string
  readonly #components: LazyRegistryComponents
  readonly #file: string | undefined
  #opened: Opened | undefined

  constructor(components: LazyRegistryComponents, { host, file }: LazyRegistryOptions) {
    this.host = host
    this.#components = components
    this.#file = file
  }

  readonly headManifest: UpstreamRegistry['headManifest'] = async (...asked) =>
    (await this.#get()).headManifest(...asked)
  readonly getManifest: UpstreamRegistry['getManifest'] = async (...asked) => (await this.#get()).getManifest(...asked)
  readonly headBlob: UpstreamRegistry['headBlob'] = async (...asked) => (await this.#get()).headBlob(...asked)
  readonly openBlob: UpstreamRegistry['openBlob'] = async (...asked) => (await this.#get()).openBlob(...asked)
  readonly referrers: UpstreamRegistry['referrers'] = async (...asked) => (await this.#get()).referrers(...asked)
  readonly listTags: UpstreamRegistry['listTags'] = async (...asked) => (await this.#get()).listTags(...asked)

  /** Lets go of what is open once it is done; who goes on asking opens it anew. Never rejects. */
  async retire(): Promise<void> {
    const opened = this.#opened
    this.#opened = undefined
    await letGo(opened?.registry)
  }

  async close(): Promise<void> {
    await (await this.#opened?.registry.catch(() => undefined))?.close()
  }

  async #get(): Promise<OpenedRegistry> {
    const version = await this.#version()
    const opened = this.#opened
    if (opened === undefined) return await this.#hold(version, this.#components.open())
    // Where the file is away for the moment, what it held goes on counting.
    if (version === undefined || version === opened.version) return await opened.registry
    return await this.#hold(version, this.#openAnew(opened))
  }

  #hold(version: string | undefined, registry: Promise<OpenedRegistry>): Promise<OpenedRegistry> {
    const opened = { version, registry }
    this.#opened = opened
    registry.catch(() => {
      if (this.#opened === opened) this.#opened = undefined
    })
    return registry
  }

  /** A change that can not be used leaves what was before in use, for all who ask meanwhile. */
  async #openAnew(before: Opened): Promise<OpenedRegistry> {
    try {
      const registry = await this.#components.open()
      void letGo(before.registry)
      return registry
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      this.#components.log.warn(
        { registry: this.host, reason },
        'a changed file is not usable; going on with what it held'
      )
      return await before.registry
    }
  }

  async #version(): Promise<string | undefined> {
    if (this.#file === undefined) return undefined
    const found = await stat(this.#file, { bigint: true }).catch(() => undefined)
    return found && [found.dev, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(':')
  }
}

async function letGo(registry: Promise<OpenedRegistry> | undefined): Promise<void> {
  await registry?.then((opened) => opened.retire()).catch(() => {})
}
