import { Sandbox } from '../support/sandbox.ts'

const open = new Set<Sandbox>()
let closing: Promise<void> | undefined

/** Runs `body` with a sandbox that closes after it; the logs of its processes are printed when it fails. */
export async function withSandbox<T>(body: (sandbox: Sandbox) => Promise<T>): Promise<T> {
  if (closing !== undefined) throw new Error('interrupted')
  const sandbox = new Sandbox()
  open.add(sandbox)
  try {
    return await body(sandbox)
  } catch (error) {
    // After an interruption everything fails, and nobody wants to know how.
    if (closing === undefined) console.error(sandbox.logs())
    throw error
  } finally {
    await closing
    // After an interruption for what was begun before it and made after it.
    await sandbox.close()
    open.delete(sandbox)
  }
}

/** Ends what runs in any sandbox, so that its body fails soon and it closes. */
export function interruptSandboxes(): void {
  closing ??= (async () => {
    for (const sandbox of open) await sandbox.close()
  })()
}
