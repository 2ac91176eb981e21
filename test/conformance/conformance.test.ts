import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { LAYERMESH } from '../support/node.ts'
import { runOk } from '../support/process.ts'
import { useSandbox } from '../support/sandbox.ts'
import { pushImage } from './push-image.ts'
import { startRegistry } from './start-registry.ts'
import { buildSuite, hasGo, runSuite, type SuiteResult } from './suite.ts'

const canRun = await hasGo()
if (!canRun && process.env.CI === 'true') throw new Error('the conformance suite needs Go, which is not installed')
if (!canRun) console.warn('SKIPPED: the OCI conformance suite needs Go 1.24 or newer, which is not installed')

/** The reason of a test that is not of the version, or not possible without pushing; anything else would be ours. */
const SWITCHED_OFF = /is disabled in the configuration$/

/** The suite's token covers the repository that it pushes to, and not the one that it would mount from. */
const PUSHED_INSTEAD = /fell back to blob POST\+PUT$/

/** Everything failed names its reason; everything left out is shown with the suite's. */
function expectPassed(title: string, { passed, failures, skipped }: SuiteResult): void {
  const left = skipped.map(({ test, reason }) => `\n  left out: ${test}: ${reason}`)
  console.log(`${title}: ${passed} passed, ${failures.length} failed, ${skipped.length} left out${left.join('')}`)
  expect(failures).toEqual([])
  expect(passed).toBeGreaterThan(0)
}

describe.skipIf(!canRun)('OCI conformance suite', () => {
  const sandbox = useSandbox()
  beforeAll(buildSuite)

  it('passes for distribution-spec 1.1', async () => {
    const registry = await startRegistry(sandbox, 'released')
    const result = await runSuite({ url: registry.url, version: '1.1' })
    expectPassed('1.1', result)
    expect(result.skipped.every(({ reason }) => SWITCHED_OFF.test(reason))).toBe(true)
  })

  it('passes for what comes after 1.1, with nothing left out', async () => {
    const registry = await startRegistry(sandbox, 'coming')
    const result = await runSuite({ url: registry.url, version: 'dev' })
    expectPassed('1.1+dev', result)
    expect(result.skipped).toEqual([])
  })

  it('passes with access control, for a user whose rights suffice', async () => {
    const htpasswd = join(sandbox.directory, 'users')
    await writeFile(join(sandbox.directory, 'password'), 'secret\n')
    const command = `"${LAYERMESH}" user add alice --htpasswd "$1" < "$2"`
    await runOk('sh', ['-c', command, 'sh', htpasswd, join(sandbox.directory, 'password')])
    const grant = [{ users: ['alice'], actions: ['pull', 'create', 'update', 'delete'] }]
    const access = { htpasswd, rules: [{ repositories: 'conformance/**', grant }] }
    const registry = await startRegistry(sandbox, 'guarded', { access })
    const settings = { USERNAME: 'alice', PASSWORD: 'secret' }
    const result = await runSuite({ url: registry.url, version: '1.1', settings })
    expectPassed('with access control', result)
    expect(result.skipped.every(({ reason }) => SWITCHED_OFF.test(reason) || PUSHED_INSTEAD.test(reason))).toBe(true)
  })

  it('passes for a mirror that can only be pulled from', async () => {
    const registry = await startRegistry(sandbox, 'mirrored')
    const image = await pushImage(registry.url, 'conformance/repo1')
    const mirror = await registry.startMirror()
    const settings = {
      API_PUSH: 'false',
      API_BLOBS_DELETE: 'false',
      API_BLOBS_ATOMIC: 'false',
      API_MANIFESTS_DELETE: 'false',
      API_MANIFESTS_ATOMIC: 'false',
      API_TAGS_DELETE: 'false',
      RO_DATA_TAGS: image.tag,
      RO_DATA_MANIFESTS: image.manifests.join(' '),
      RO_DATA_BLOBS: image.blobs.join(' '),
      RO_DATA_REFERRERS: image.subject
    }
    const result = await runSuite({ url: mirror.url, version: '1.1', settings })
    expectPassed('mirror', result)
    expect(result.skipped.every(({ reason }) => SWITCHED_OFF.test(reason))).toBe(true)
  })
})
