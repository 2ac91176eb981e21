import { digestOf } from '@layermesh/oci'
import { beforeAll, expect, test } from 'vitest'
import { useSandbox } from '../support/sandbox.ts'
import { ask, errorCode, putImage, putManifest } from './support/client.ts'
import { Victim } from './support/victim.ts'

const SUBJECT = digestOf(Buffer.from('subject'))
const LISTS = ['/v2/_catalog', '/v2/team/app/tags/list', `/v2/team/app/referrers/${SUBJECT}`]
const MAX_PAGE = 1000
const TAGS_AT_ONCE = 32

const sandbox = useSandbox()
let victim: Victim

beforeAll(async () => {
  victim = await Victim.start(sandbox, { name: 'seed', role: 'seed' })
  const { manifest, digest } = await putImage(victim.node, 'team/app', '1', Buffer.from('layer'))
  for (let i = 0; i <= MAX_PAGE; i += TAGS_AT_ONCE) {
    const tags = Array.from({ length: TAGS_AT_ONCE }, (_, n) => `tag=t${i + n}`).join('&')
    expect((await putManifest(victim.node, 'team/app', `${digest}?${tags}`, manifest)).status).toBe(201)
  }
})

test('a page of more tags than one may hold is cut, and says where the next one is', async () => {
  for (const n of ['', '?n=2147483648', '?n=1001']) {
    const { body, headers } = await ask(victim.node, 'GET', `/v2/team/app/tags/list${n}`)
    expect(JSON.parse(body.toString()).tags).toHaveLength(MAX_PAGE)
    expect(headers.get('link')).toContain(`n=${MAX_PAGE}&`)
  }
})

// CVE-2023-2253 (distribution): the catalogue allocated as many entries as were asked for.
test.each(LISTS)('a page of any number of entries of %s is cut to what a page holds', async (path) => {
  const before = await victim.usage()
  for (const n of [2 ** 31, 2 ** 53, '9'.repeat(400)]) {
    const answer = await ask(victim.node, 'GET', `${path}?n=${n}`)
    expect(answer.status).toBe(200)
    const next = answer.headers.get('link')
    if (next !== null) expect(next).toContain(`n=${MAX_PAGE}`)
  }
  await victim.expectNoLeak(before)
})

test.each(LISTS)('a number of entries of %s that is none is refused', async (path) => {
  for (const n of ['-1', '1e9', 'NaN', 'Infinity', '0x10', '1.5', '', ' 1', '１', '%00', '1,2', `${'9'.repeat(9)}n`]) {
    const answer = await ask(victim.node, 'GET', `${path}?n=${encodeURIComponent(n)}`)
    expect([n, answer.status, errorCode(answer)]).toEqual([n, 400, 'PAGINATION_NUMBER_INVALID'])
  }
})

test.each(LISTS)('a page of %s after any text is answered', async (path) => {
  for (const last of ['\uffff', '../..', '\0', 'x'.repeat(4000), '__proto__', '{"$gt":""}']) {
    expect((await ask(victim.node, 'GET', `${path}?last=${encodeURIComponent(last)}`)).status).toBeLessThan(500)
  }
  victim.expectAlive()
})
