import { writeFile } from 'node:fs/promises'
import type { CertificateFiles } from '../certificates.ts'
import { HANG_MS } from '../http.ts'
import { HERE, type Place } from '../place.ts'
import { type ManagedProcess, run } from '../process.ts'
import type { Sandbox } from '../sandbox.ts'

/** Why docker-registry can't be run here; undefined when it can. */
export async function whyNoDockerRegistry(): Promise<string | undefined> {
  const found = await run('docker-registry', ['--version']).catch(() => undefined)
  return found?.code === 0 ? undefined : 'docker-registry not found; Debian: apt-get install docker-registry'
}

export interface DockerRegistryOptions {
  /** @default HERE */
  readonly place?: Place
  /** Its setting `auth`; everybody may do everything without. */
  readonly auth?: Readonly<Record<string, unknown>>
  /** Has it speak TLS. */
  readonly tls?: CertificateFiles
}

/** Debian's `docker-registry` with files on the disk, as its own configuration has it, but without accounts unless they are asked for. */
export class DockerRegistry {
  readonly url: string
  readonly #process: ManagedProcess

  private constructor(url: string, process: ManagedProcess) {
    this.url = url
    this.#process = process
  }

  /** @param directory where it keeps everything; one with accounts and one without may share it */
  static async start(
    sandbox: Sandbox,
    directory: string,
    options: DockerRegistryOptions = {}
  ): Promise<DockerRegistry> {
    const { place = HERE, auth, tls } = options
    const settings = `${directory}${auth === undefined ? '' : '-auth'}.yml`
    await writeFile(settings, JSON.stringify(configuration(directory, place.address, { auth, tls })))
    const process = sandbox.start('docker-registry', ...place.command('docker-registry', ['serve', settings]))
    const line = await process.waitForLine(/listening on [\d.]+:\d+/, HANG_MS)
    const [, address = ''] = /listening on ([\d.]+:\d+)/.exec(line) ?? []
    return new DockerRegistry(`${tls === undefined ? 'http' : 'https'}://${address}`, process)
  }

  get pid(): number {
    return this.#process.pid
  }

  stop(): Promise<unknown> {
    return this.#process.stop()
  }
}

/** JSON is YAML. */
function configuration(
  directory: string,
  address: string,
  { auth, tls }: { readonly auth: DockerRegistryOptions['auth']; readonly tls: CertificateFiles | undefined }
) {
  return {
    version: '0.1',
    log: { level: 'info', accesslog: { disabled: true } },
    storage: { cache: { blobdescriptor: 'inmemory' }, filesystem: { rootdirectory: directory } },
    http: { addr: `${address}:0`, headers: { 'X-Content-Type-Options': ['nosniff'] }, ...(tls && { tls }) },
    ...(auth && { auth })
  }
}
