import { posix } from 'node:path'
import type { HostView } from '../setup/wish.ts'

/** A host with these files, of which none is ours. */
export function fakeHost(files: Readonly<Record<string, string>>): HostView {
  return {
    read: async (path) => files[path],
    list: async (path) => {
      const below = Object.keys(files).filter((file) => file.startsWith(`${path}/`))
      return [...new Set(below.map((file) => posix.relative(path, file).split('/')[0] ?? ''))].toSorted()
    },
    isOurs: async () => false
  }
}
