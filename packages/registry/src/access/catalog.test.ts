import type { Repository } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import { EMPTY, PRIVATE } from '../testing/access-fixture.ts'
import { basic, FakeAccess } from '../testing/fake-access.ts'
import { startRegistry } from '../testing/start.ts'

describe('the catalogue', () => {
  const names = Array.from({ length: 30 }, (_, index) => `r${String(index).padStart(2, '0')}/app`)
  const access = new FakeAccess({
    ...Object.fromEntries(names.filter((_, index) => index % 7 === 3).map((name) => [name, { alice: ['pull'] }])),
    'r03/app': { '*': ['pull'] },
    'r29/app': { alice: ['pull'] },
    'r05/app': { alice: ['create', 'update', 'delete'] }
  })
  const visible = ['r03/app', 'r10/app', 'r17/app', 'r24/app', 'r29/app']

  async function startFull(options: Parameters<typeof startRegistry>[0] = {}) {
    const registry = await startRegistry({ access, ...options })
    for (const name of names) registry.backend.addBlob(name as Repository, EMPTY)
    return registry
  }

  /** Follows the links; tells the pages and what the links said. */
  async function pages(client: Awaited<ReturnType<typeof startFull>>['client'], first: string, user: string) {
    const found: string[][] = []
    const links: string[] = []
    for (let path: string | undefined = first; path !== undefined; ) {
      const answer = await client.get(path, basic(user))
      expect(answer.status).toBe(200)
      found.push((answer.json() as { repositories: string[] }).repositories)
      path = /^<(.*)>; rel="next"$/.exec(String(answer.headers.link))?.[1]
      if (path !== undefined) links.push(path)
    }
    return { found, links }
  }

  it.each([1, 2, 4, 5, 100])('shows what the caller may pull, %i at a time', async (n) => {
    const { client } = await startFull()
    const { found } = await pages(client, `/v2/_catalog?n=${n}`, 'alice')
    expect(found.flat()).toEqual(visible)
    expect(found.slice(0, -1).every((page) => page.length === n)).toBe(true)
    expect(found.at(-1)?.length).toBeGreaterThan(0)
  })

  it('looks through so many for one page and no more, and its links name nothing that is hidden', async () => {
    const asked: number[] = []
    const { client } = await startRegistry({ access, maxCatalogScan: 4, maxPageSize: 3 }, (backend) => {
      for (const name of names) backend.addBlob(name as Repository, EMPTY)
      return {
        blobs: backend.blobs,
        manifests: backend.manifests,
        tags: backend.tags,
        uploads: backend.uploads,
        catalog: (page) => {
          asked.push(page.limit)
          return backend.catalog(page)
        }
      }
    })
    const { found, links } = await pages(client, '/v2/_catalog', 'alice')
    expect(found.flat()).toEqual(visible)
    expect(found.length).toBeGreaterThan(7)
    expect(asked.reduce((sum, limit) => sum + limit, 0)).toBeLessThanOrEqual(found.length * 4)
    for (const name of names.filter((each) => !visible.includes(each))) {
      for (const link of links) expect(decodeURIComponent(link)).not.toContain(name)
    }
    const forged = await client.get('/v2/_catalog?last=~AAAA', basic('alice'))
    expect([forged.status, forged.errorCode()]).toEqual([400, 'NAME_INVALID'])
  })

  it('begins where it is asked to', async () => {
    const { client } = await startFull()
    const answer = await client.get('/v2/_catalog?last=r10/app', basic('alice'))
    expect(answer.json()).toEqual({ repositories: visible.slice(2) })
    expect((await client.get('/v2/_catalog?n=0', basic('alice'))).json()).toEqual({ repositories: [] })
  })

  it('shows strangers what everybody may see, and asks them who they are when that is nothing', async () => {
    const open = await startFull()
    expect((await open.client.get('/v2/_catalog')).json()).toEqual({ repositories: ['r03/app'] })
    const closed = await startRegistry({ access: new FakeAccess({}) })
    closed.backend.addBlob(PRIVATE, EMPTY)
    const answer = await closed.client.get('/v2/_catalog')
    expect([answer.status, answer.headers['www-authenticate']]).toEqual([401, expect.stringContaining('realm=')])
    expect((await closed.client.get('/v2/_catalog', basic('nobody'))).json()).toEqual({ repositories: [] })
  })
})
