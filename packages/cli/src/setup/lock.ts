import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { CliFailure } from '../failure.ts'

/**
 * Holds a directory for this process alone. The lock is a name among Linux' abstract sockets (unix(7)), which is gone
 * with the process however it ended: no lock is left that somebody would have to judge and remove.
 * @throws CliFailure when another process holds it
 */
export async function withLock<Result>(directory: string, act: () => Promise<Result>): Promise<Result> {
  if (process.platform !== 'linux') return act()
  const server = createServer((socket) => socket.destroy())
  try {
    // One that is done removes the directory when nothing is left to be undone.
    const { dev, ino } = await stat(directory)
    server.listen(`\0layermesh-setup-${dev}-${ino}`)
    await once(server, 'listening')
  } catch (cause) {
    throw new CliFailure('FAILED', 'another `layermesh setup` is at work on this host; do it again when that is done', {
      cause
    })
  }
  try {
    return await act()
  } finally {
    server.close()
  }
}
