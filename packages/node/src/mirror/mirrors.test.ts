import { mirroredRepository, ownRepository } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import { FakeUpstream } from '../testing/fake-upstream.ts'
import { Mirrors } from './mirrors.ts'

const policy = { direct: false, judgesClients: true }
const hub = mirroredRepository('docker.io', 'nginx')
const stranger = mirroredRepository('evil.example', 'team/app')

/** Mirrors where any registry may be asked but `excluded.example`. */
function makeMirrors(others: boolean) {
  const get = (host: string) => (host === 'excluded.example' ? undefined : new FakeUpstream(host))
  return new Mirrors({ get }, { named: new Map([['docker.io', policy]]), isolates: !others, others })
}

describe('which repositories are mirrored', () => {
  it('is those of a registry that was named, by the name that it has there', () => {
    expect(makeMirrors(false).find(hub)).toMatchObject({ host: 'docker.io', name: 'library/nginx', ...policy })
  })

  it('is those of others only where these are believed', () => {
    expect(makeMirrors(false).find(stranger)).toBeUndefined()
    expect(makeMirrors(false).hostOf(stranger)).toBeUndefined()
    expect(makeMirrors(true).find(stranger)).toMatchObject({ name: 'team/app', direct: true, judgesClients: false })
  })

  it('is none of those that must not be asked, and none of the mesh’s own', () => {
    for (const repository of [mirroredRepository('excluded.example', 'app'), ownRepository('team/app')]) {
      expect(makeMirrors(true).find(repository)).toBeUndefined()
      expect(makeMirrors(true).hostOf(repository)).toBeUndefined()
    }
  })
})
