import { inspect } from 'node:util'
import type { RemoteCall, RemoteReply } from './remote-module.ts'

/*
 * The process of a RemoteModule: loads the module that its argument names and calls what it is told to. A call without
 * a name is answered as soon as the module is loaded.
 */

const [, , url = ''] = process.argv
const functions = (await import(url)) as Readonly<Record<string, (...args: readonly unknown[]) => unknown>>

process.on('message', async ({ id, name, args }: RemoteCall) => {
  reply(
    await callFunction(name, args).then(
      (value) => ({ id, value }),
      (error: unknown) => ({ id, error: inspect(error) })
    )
  )
})
process.once('disconnect', () => process.exit())

async function callFunction(name: string, args: readonly unknown[]): Promise<unknown> {
  return name === '' ? undefined : await functions[name]?.(...args)
}

function reply(message: RemoteReply): void {
  if (process.connected) process.send?.(message)
}
