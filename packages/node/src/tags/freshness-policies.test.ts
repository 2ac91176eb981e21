import { mirroredRepository, ownRepository } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { freshnessPolicies } from './freshness-policies.ts'

const own = ownRepository('team/app')
const mirrored = mirroredRepository('docker.io', 'nginx')

it('lets mirrored tags be a little older by default, and has rules count for both', () => {
  const isMirrored = (repository: string) => repository === mirrored
  const byDefault = freshnessPolicies([], isMirrored)
  expect([byDefault(own).maxAgeMs, byDefault(mirrored).maxAgeMs]).toEqual([10_000, 30_000])
  const rule = { repositories: 'docker.io/library/*', maxAgeMs: 1_000, maxStaleMs: 2_000 }
  const ruled = freshnessPolicies([rule], isMirrored)
  expect(ruled(mirrored)).toMatchObject({ maxAgeMs: 1_000, maxStaleMs: 2_000 })
  expect(ruled(own).maxAgeMs).toBe(10_000)
})
