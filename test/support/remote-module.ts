import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { HERE, type Place } from './place.ts'
import type { Sandbox } from './sandbox.ts'

/** What {@link RemoteModule} sends its process, and what comes back. */
export interface RemoteCall {
  readonly id: number
  readonly name: string
  readonly args: readonly unknown[]
}
export type RemoteReply = { readonly id: number } & ({ readonly value: unknown } | { readonly error: string })

type Functions = Readonly<Record<string, (...args: never[]) => unknown>>

interface Waiter {
  resolve(value: unknown): void
  reject(error: Error): void
}

const MAIN = join(import.meta.dirname, 'remote-module-main.ts')

/**
 * The functions that a module exports, run in a process of their own, which may be in another place. Arguments and
 * results are cloned (structured clone); an error comes back as its text. The process ends with the sandbox, and when
 * this process is gone.
 */
export class RemoteModule<T extends Functions> {
  readonly pid: number
  readonly #child: ChildProcess
  readonly #waiters = new Map<number, Waiter>()
  #calls = 0

  private constructor(child: ChildProcess, name: string) {
    this.#child = child
    this.pid = child.pid ?? -1
    child.on('message', (reply: RemoteReply) => this.#settle(reply))
    child.once('exit', (code, signal) => {
      for (const { reject } of this.#waiters.values()) reject(new Error(`${name} ended with ${signal ?? code}`))
      this.#waiters.clear()
    })
  }

  /** Starts a process with the module at `url`. `T` is what it exports: `typeof import('./module.ts')`. */
  static async start<T extends Functions>(sandbox: Sandbox, url: URL, place: Place = HERE): Promise<RemoteModule<T>> {
    const args = ['--conditions=layermesh-source', MAIN, url.href]
    const [command, commandArgs] = place.command(process.execPath, args)
    const child = spawn(command, commandArgs, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced'
    })
    const exited = once(child, 'exit')
    sandbox.defer(async () => {
      child.kill('SIGKILL')
      await exited
    })
    const remote = new RemoteModule<T>(child, url.pathname)
    await remote.#send('', [])
    return remote
  }

  /** Calls a function there. @throws with the text of what it threw, or when its process ends */
  call<K extends keyof T & string>(name: K, ...args: Parameters<T[K]>): Promise<Awaited<ReturnType<T[K]>>> {
    return this.#send(name, args) as Promise<Awaited<ReturnType<T[K]>>>
  }

  #send(name: string, args: readonly unknown[]): Promise<unknown> {
    const id = this.#calls++
    return new Promise((resolve, reject) => {
      this.#waiters.set(id, { resolve, reject })
      this.#child.send({ id, name, args } satisfies RemoteCall, (error) => {
        if (error === null) return
        this.#waiters.delete(id)
        reject(error)
      })
    })
  }

  #settle(reply: RemoteReply): void {
    const waiter = this.#waiters.get(reply.id)
    this.#waiters.delete(reply.id)
    if ('error' in reply) waiter?.reject(new Error(reply.error))
    else waiter?.resolve(reply.value)
  }
}
