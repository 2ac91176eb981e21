import { describe, expect, it } from 'vitest'
import { databaseOnFullDisk } from '../testing/database-on-full-disk.ts'
import { openStore, temporaryDirectory } from '../testing/stores.ts'
import { Metadata } from './metadata.ts'

const PUT = { type: 'put', key: 'a', value: new Uint8Array([1]) } as const

describe('metadata', () => {
  it('tells that the disk is full, and takes writes again when it is not', async () => {
    const directory = await temporaryDirectory()
    const { faulty, disk } = databaseOnFullDisk(directory)
    const metadata = await Metadata.open(faulty, disk)
    disk.full = true
    await expect(metadata.write([PUT])).rejects.toMatchObject({ code: 'DISK_FULL' })
    await expect(metadata.write([PUT])).rejects.toMatchObject({ code: 'DISK_FULL' })
    disk.full = false
    await metadata.write([PUT])
    expect(await metadata.get('a')).toEqual(new Uint8Array([1]))
    await metadata.close()
  })

  it('is opened anew once, however many wait to write', async () => {
    const directory = await temporaryDirectory()
    const { faulty, disk } = databaseOnFullDisk(directory)
    const metadata = await Metadata.open(faulty, disk)
    disk.full = true
    await expect(metadata.write([PUT])).rejects.toMatchObject({ code: 'DISK_FULL' })
    disk.full = false
    await Promise.all([metadata.write([PUT]), metadata.write([PUT]), metadata.get('a')])
    expect(disk.opened).toBe(2)
    await metadata.close()
  })

  it('can be read while the disk is full', async () => {
    const directory = await temporaryDirectory()
    const { faulty, disk } = databaseOnFullDisk(directory)
    const metadata = await Metadata.open(faulty, disk)
    await metadata.write([PUT])
    disk.full = true
    for (let tries = 0; tries < 2; tries++) {
      await expect(metadata.write([PUT])).rejects.toMatchObject({ code: 'DISK_FULL' })
      expect(await metadata.get('a')).toEqual(new Uint8Array([1]))
    }
    await metadata.close()
  })

  it('is opened anew by whoever reads, too, when the disk was fuller than it seemed', async () => {
    const directory = await temporaryDirectory()
    const { faulty, disk } = databaseOnFullDisk(directory)
    const metadata = await Metadata.open(faulty, { hasRoom: async () => true })
    await metadata.write([PUT])
    disk.full = true
    await expect(metadata.write([PUT])).rejects.toMatchObject({ code: 'DISK_FULL' })
    await expect(metadata.write([PUT])).rejects.toMatchObject({ code: 'DISK_FULL' })
    await expect(metadata.get('a')).rejects.toMatchObject({ code: 'DISK_FULL' })
    disk.full = false
    expect(await metadata.get('a')).toEqual(new Uint8Array([1]))
    await metadata.close()
  })

  it('tells when another has the store open, and when it was closed', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    await expect(openStore({}, directory)).rejects.toMatchObject({ code: 'STORE_IN_USE' })
    await store.close()
    const again = await openStore({}, directory)
    expect(again.blobs.count()).toBe(0)
  })
})
