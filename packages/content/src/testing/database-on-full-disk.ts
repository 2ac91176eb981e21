import { createLayout } from '../disk/layout.ts'
import { createDatabase, type Database } from '../metadata/metadata.ts'

/** A database on a disk that is full: as LevelDB does, it refuses all writes after the first until it is opened anew. */
export function databaseOnFullDisk(directory: string) {
  const database = createDatabase(createLayout(directory).metadata)
  const disk = { full: false, opened: 0, hasRoom: async () => !disk.full }
  let broken = false
  const failure = () => Object.assign(new Error('IO error: No space left on device'), { code: 'LEVEL_IO_ERROR' })
  const faulty: Database = {
    open: async () => {
      disk.opened++
      if (disk.full) throw Object.assign(new Error('not open'), { cause: failure() })
      await database.open()
      broken = false
    },
    close: () => database.close(),
    get: ((key: string) => database.get(key)) as Database['get'],
    iterator: ((range: object) => database.iterator(range)) as Database['iterator'],
    batch: (async (changes: [], options: object) => {
      broken ||= disk.full
      if (broken) throw failure()
      await database.batch(changes, options)
    }) as unknown as Database['batch']
  }
  return { faulty, disk }
}
