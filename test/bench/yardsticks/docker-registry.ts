import { writeFile } from 'node:fs/promises'
import { HERE, type Place } from '../../support/place.ts'
import type { ManagedProcess } from '../../support/process.ts'
import { run } from '../../support/process.ts'
import type { Sandbox } from '../../support/sandbox.ts'

const START_TIMEOUT_MS = 30_000

/** Why docker-registry can't be measured here; undefined when it can. */
export async function whyNoDockerRegistry(): Promise<string | undefined> {
  const found = await run('docker-registry', ['--version']).catch(() => undefined)
  return found?.code === 0 ? undefined : 'docker-registry not found; Debian: apt-get install docker-registry'
}

/** Debian's `docker-registry` with files on the disk, as its own configuration has it, but without accounts. */
export class DockerRegistry {
  readonly url: string
  readonly #process: ManagedProcess

  private constructor(url: string, process: ManagedProcess) {
    this.url = url
    this.#process = process
  }

  /** @param directory where it keeps everything */
  static async start(sandbox: Sandbox, directory: string, place: Place = HERE): Promise<DockerRegistry> {
    const settings = `${directory}.yml`
    await writeFile(settings, JSON.stringify(configuration(directory, place.address)))
    const process = sandbox.start('docker-registry', ...place.command('docker-registry', ['serve', settings]))
    const line = await process.waitForLine(/listening on [\d.]+:\d+/, START_TIMEOUT_MS)
    const [, address = ''] = /listening on ([\d.]+:\d+)/.exec(line) ?? []
    return new DockerRegistry(`http://${address}`, process)
  }

  get pid(): number {
    return this.#process.pid
  }

  stop(): Promise<unknown> {
    return this.#process.stop()
  }
}

/** JSON is YAML. */
function configuration(directory: string, address: string) {
  return {
    version: '0.1',
    log: { level: 'info', accesslog: { disabled: true } },
    storage: { cache: { blobdescriptor: 'inmemory' }, filesystem: { rootdirectory: directory } },
    http: { addr: `${address}:0`, headers: { 'X-Content-Type-Options': ['nosniff'] } }
  }
}
