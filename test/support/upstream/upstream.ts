import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import { Authority } from '../certificates.ts'
import { Skopeo } from '../clients/skopeo.ts'
import { type BuiltImage, buildImage, type ImageOptions } from '../images/image.ts'
import type { Sandbox } from '../sandbox.ts'
import { DockerRegistry, type DockerRegistryOptions } from './docker-registry.ts'
import { type Behind, FaultProxy, OBJECTS_ADDRESS, REGISTRY_ADDRESS } from './fault-proxy.ts'
import { type Account, TokenService } from './token-service.ts'

const ISSUER = 'layermesh-test'
const AUDIENCE = 'docker-registry'
const BCRYPT_COST = 4
/** What this begins with, the account alone may pull where there are tokens. */
const PRIVATE = 'private/'

export interface UpstreamOptions {
  /** Tells it from others of the test. */
  readonly name: string
  /**
   * Whom it answers: everybody; those with an account (HTTP Basic); or by tokens, everybody for what does not begin with
   * `private/`, and those with an account for all.
   * @default 'nobody'
   */
  readonly asks?: 'nobody' | 'basic' | 'token'
  /** Has it speak TLS, with a certificate of this authority. */
  readonly authority?: Authority
  /** Names for which its certificate is good, beside its address. */
  readonly serverNames?: readonly string[]
}

/**
 * A registry for nodes to stand in front of: Debian's docker-registry as a real process, with images that the test
 * gives it, and in front of it a proxy that counts and can do everything wrong. Give nodes {@link settings}; say with
 * `proxy` what goes wrong; read in `proxy.traffic` what was asked.
 */
export class Upstream {
  readonly proxy: FaultProxy
  readonly account: Account
  /** Holds the password of the account. */
  readonly passwordFile: string
  readonly tokens: TokenService | undefined
  /** The registry itself, which gives and takes everything: `ADDRESS:PORT`. */
  readonly openHost: string
  readonly #sandbox: Sandbox
  readonly #name: string
  readonly #caFile: string | undefined
  readonly #skopeo: Skopeo
  readonly #openWay: () => Promise<FaultProxy>

  private constructor(sandbox: Sandbox, { name, authority }: UpstreamOptions, parts: Parts, skopeo: Skopeo) {
    this.proxy = parts.proxy
    this.account = parts.account
    this.passwordFile = parts.passwordFile
    this.tokens = parts.tokens
    this.openHost = new URL(parts.open.url).host
    this.#sandbox = sandbox
    this.#name = name
    this.#caFile = authority?.file
    this.#skopeo = skopeo
    this.#openWay = parts.openWay
  }

  static async start(sandbox: Sandbox, options: UpstreamOptions): Promise<Upstream> {
    const directory = await sandbox.makeDirectory(options.name)
    const parts = await startParts(sandbox, directory, options)
    return new Upstream(sandbox, options, parts, await Skopeo.create(sandbox, `${options.name}-skopeo`))
  }

  /** `ADDRESS:PORT` of the proxy. */
  get host(): string {
    return this.proxy.host
  }

  /**
   * What stands in a node's settings below `upstreams.registries` for this one.
   * @param more such as `clients: all`
   */
  settings(more: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
    return { url: this.proxy.url, ...(this.#caFile && { caFile: this.#caFile }), ...more }
  }

  /** For {@link settings}: the account. */
  get credentials(): Readonly<Record<string, unknown>> {
    return { credentials: { username: this.account.username, passwordFile: this.passwordFile } }
  }

  /** What it asks for with a 401 where there are tokens. */
  get challenge(): string {
    return `Bearer realm="${this.proxy.url}/token",service="${AUDIENCE}"`
  }

  /** Another proxy in front of the same registry, to which nothing happens that happens to the first. */
  anotherWay(): Promise<FaultProxy> {
    return this.#openWay()
  }

  /** Makes an image for two platforms and pushes it past the proxy. @param repository with its tag: `library/app:1` */
  async push(repository: string, options: Partial<ImageOptions> = {}): Promise<BuiltImage> {
    const directory = join(this.#sandbox.directory, `${this.#name}-images`, repository.replace(':', '/'))
    const image = await buildImage(directory, { name: repository, ...options })
    await this.put(image, repository)
    return image
  }

  /** Pushes an image past the proxy, byte for byte; a tag that was there means this one from now on. */
  async put(image: BuiltImage, repository: string): Promise<void> {
    await this.#skopeo.push(image, `${this.openHost}/${repository}`)
  }
}

interface Parts {
  readonly proxy: FaultProxy
  readonly open: DockerRegistry
  readonly account: Account
  readonly passwordFile: string
  readonly tokens: TokenService | undefined
  readonly openWay: () => Promise<FaultProxy>
}

async function startParts(sandbox: Sandbox, directory: string, options: UpstreamOptions): Promise<Parts> {
  const { name, asks = 'nobody', authority, serverNames = [] } = options
  const tls = await authority?.issue(name, REGISTRY_ADDRESS, OBJECTS_ADDRESS, ...serverNames)
  const openProxy = async () => {
    const proxy = await FaultProxy.open(tls === undefined ? {} : { tls })
    sandbox.defer(() => proxy.stop())
    return proxy
  }
  const proxy = await openProxy()

  const account = { username: 'puller', password: randomBytes(12).toString('hex') }
  const passwordFile = `${directory}.password`
  await writeFile(passwordFile, account.password, { mode: 0o600 })

  const open = await DockerRegistry.start(sandbox, directory)
  const { auth, tokens } = await accounts(sandbox, { directory, asks, account, realm: `${proxy.url}/token` })
  const guarded: DockerRegistryOptions = { ...(auth && { auth }), ...(tls && { tls }) }
  const asIs = auth === undefined && tls === undefined
  const registry = asIs ? open : await DockerRegistry.start(sandbox, directory, guarded)
  const behind: Behind = {
    registryUrl: registry.url,
    openUrl: open.url,
    ...(tokens && { tokens }),
    ...(authority && { ca: await readFile(authority.file) })
  }
  proxy.serve(behind)
  const openWay = async () => {
    const another = await openProxy()
    another.serve(behind)
    return another
  }
  return { proxy, open, account, passwordFile, tokens, openWay }
}

async function accounts(
  sandbox: Sandbox,
  of: {
    readonly directory: string
    readonly asks: NonNullable<UpstreamOptions['asks']>
    readonly account: Account
    readonly realm: string
  }
): Promise<{ auth?: Record<string, unknown>; tokens?: TokenService }> {
  const { directory, asks, account, realm } = of
  if (asks === 'nobody') return {}
  if (asks === 'basic') {
    const path = `${directory}.htpasswd`
    await writeFile(path, `${account.username}:${await bcrypt.hash(account.password, BCRYPT_COST)}\n`)
    return { auth: { htpasswd: { realm: 'test', path } } }
  }
  const signers = await Authority.create(sandbox, 'token-signers')
  const isPublic = (repository: string) => !repository.startsWith(PRIVATE)
  const signer = await signers.issue('token-signer')
  const tokens = await TokenService.create(signer, { issuer: ISSUER, audience: AUDIENCE, account, isPublic })
  return { tokens, auth: { token: { realm, service: AUDIENCE, issuer: ISSUER, rootcertbundle: signers.file } } }
}
