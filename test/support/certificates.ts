import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { runOk } from './process.ts'
import type { Sandbox } from './sandbox.ts'

/** Files in PEM. */
export interface CertificateFiles {
  readonly certificate: string
  readonly key: string
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

/** An authority of a test's own that signs certificates of servers at 127.0.0.1 and of clients. */
export class Authority {
  readonly #directory: string

  private constructor(directory: string) {
    this.#directory = directory
  }

  static async create(sandbox: Sandbox, name: string): Promise<Authority> {
    const directory = await sandbox.makeDirectory(name)
    const out = ['-keyout', join(directory, 'ca.key'), '-out', join(directory, 'ca.crt')]
    await runOk('openssl', ['req', '-x509', ...KEY, '-subj', `/CN=${name}`, '-days', '2', ...out])
    return new Authority(directory)
  }

  /** Its own certificate. */
  get file(): string {
    return join(this.#directory, 'ca.crt')
  }

  /** @param hosts addresses and names of the server, beside those of the loopback */
  async issue(name: string, ...hosts: readonly string[]): Promise<CertificateFiles> {
    const path = (end: string) => join(this.#directory, `${name}.${end}`)
    const subjects = ['127.0.0.1', 'localhost', ...hosts].map((host) => `${isIP(host) === 0 ? 'DNS' : 'IP'}:${host}`)
    await writeFile(path('ext'), `subjectAltName = ${subjects.join(', ')}\n`)
    await runOk('openssl', ['req', ...KEY, '-subj', `/CN=${name}`, '-keyout', path('key'), '-out', path('csr')])
    const signer = ['-CA', this.file, '-CAkey', join(this.#directory, 'ca.key'), '-CAcreateserial', '-days', '2']
    const subject = ['-in', path('csr'), '-extfile', path('ext'), '-out', path('crt')]
    await runOk('openssl', ['x509', '-req', ...signer, ...subject])
    return { certificate: path('crt'), key: path('key') }
  }

  /** A directory as podman and skopeo take it: this authority as the one to trust, and a client's own certificate. */
  async clientDirectory(name: string, client?: CertificateFiles): Promise<string> {
    const directory = join(this.#directory, name)
    await mkdir(directory, { recursive: true })
    await copyFile(this.file, join(directory, 'ca.crt'))
    if (client === undefined) return directory
    await copyFile(client.certificate, join(directory, 'client.cert'))
    await copyFile(client.key, join(directory, 'client.key'))
    return directory
  }
}
