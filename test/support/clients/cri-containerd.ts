import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect } from 'node:http2'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { eventually, HANG_MS } from '../http.ts'
import { type ManagedProcess, runOk } from '../process.ts'
import type { Sandbox } from '../sandbox.ts'

const IMAGES = '/runtime.v1.ImageService'
/** The tag of field 1 of a message when it is a string or a message itself. */
const FIELD_1 = 0x0a
const FRAME_HEAD_BYTES = 5

/** A containerd of the test's own that is asked for images as the kubelet asks it, by its CRI plugin. */
export class CriContainerd {
  /** Its config.toml. */
  readonly config: string
  readonly certsDir: string
  readonly #name: string
  readonly #socket: string
  readonly #env: Readonly<Record<string, string>>
  readonly #sandbox: Sandbox
  #process: ManagedProcess | undefined

  private constructor(sandbox: Sandbox, name: string, directory: string, env: Readonly<Record<string, string>>) {
    this.config = join(directory, 'config.toml')
    this.certsDir = join(directory, 'certs.d')
    this.#name = name
    this.#socket = join(directory, 'containerd.sock')
    this.#env = env
    this.#sandbox = sandbox
  }

  /** Makes one that does not run yet. @param env in which it reaches registries */
  static async create(sandbox: Sandbox, name: string, env: Readonly<Record<string, string>>): Promise<CriContainerd> {
    const directory = await sandbox.makeDirectory(name)
    const containerd = new CriContainerd(sandbox, name, directory, env)
    const config = [
      'version = 2 # of this file',
      `root = "${directory}/root"`,
      `state = "${directory}/state"`,
      '[grpc]',
      `  address = "${containerd.#socket}"`,
      '[plugins."io.containerd.grpc.v1.cri"]',
      '  stream_server_port = "0"',
      '  disable_apparmor = true'
    ]
    await writeFile(containerd.config, `${config.join('\n')}\n`)
    return containerd
  }

  /** Starts it, anew when it runs. */
  async restart(): Promise<void> {
    await this.#process?.stop()
    this.#process = this.#sandbox.start(this.#name, 'containerd', ['--config', this.config], { env: this.#env })
    await this.#process.waitForLine(/containerd successfully booted/, HANG_MS)
    // Its CRI plugin answers a moment later.
    await eventually('the CRI plugin answers', HANG_MS, () =>
      this.#call('ListImages', Buffer.alloc(0)).then(
        () => true as const,
        () => undefined
      )
    )
  }

  /** What it says of its own settings. */
  dumpConfig(): Promise<string> {
    return runOk('containerd', ['--config', this.config, 'config', 'dump'])
  }

  /** `PullImage` of the CRI: the image is field 1 of the request, and its name field 1 of that. @throws when it fails */
  async pull(reference: string): Promise<void> {
    await this.#call('PullImage', field1(field1(Buffer.from(reference))))
  }

  /** Forgets an image and its content, so that it has to be pulled again. */
  async remove(reference: string): Promise<void> {
    await this.#call('RemoveImage', field1(field1(Buffer.from(reference))))
    await runOk('ctr', ['--address', this.#socket, '--namespace', 'k8s.io', 'content', 'prune', 'references'])
  }

  /** One call of gRPC over HTTP/2. */
  async #call(method: string, message: Buffer): Promise<void> {
    const session = connect('http://localhost', { createConnection: () => createConnection(this.#socket) })
    try {
      const head = Buffer.alloc(FRAME_HEAD_BYTES)
      head.writeUInt32BE(message.length, 1)
      const stream = session.request({
        ':method': 'POST',
        ':path': `${IMAGES}/${method}`,
        'content-type': 'application/grpc',
        te: 'trailers'
      })
      let trailers: Record<string, unknown> = {}
      stream.on('response', (headers) => {
        trailers = headers
      })
      stream.on('trailers', (headers) => {
        trailers = headers
      })
      stream.end(Buffer.concat([head, message]))
      stream.resume()
      await once(stream, 'close', { signal: AbortSignal.timeout(HANG_MS) })
      const { 'grpc-status': status, 'grpc-message': why } = trailers
      if (Number(status) !== 0) throw new Error(`${method} failed with ${status}: ${why}`)
    } finally {
      session.destroy()
    }
  }
}

/** A message with nothing but this in field 1. */
function field1(value: Buffer): Buffer {
  if (value.length > 0x7f) throw new Error('lengths of more than one byte are not written here')
  return Buffer.concat([Buffer.of(FIELD_1, value.length), value])
}
