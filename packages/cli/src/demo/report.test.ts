import { digestOf } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { formatReport, formatSeedShare } from './report.ts'
import { sumOf } from './traffic.ts'

const MIB = 1024 * 1024
const DIGEST = digestOf(Buffer.from('manifest'))

it('shows where the bytes came from', () => {
  const pulled = { digest: DIGEST, bytes: 60 * MIB, elapsedMs: 1_234 }
  const text = formatReport([
    { name: 'seed' },
    { name: 'node-1', pulled, traffic: { fromPeers: 60 * MIB, toPeers: 20 * MIB } },
    { name: 'node-2', traffic: { fromPeers: 0, toPeers: 0 } }
  ])
  const [, seed, one, two] = text.split('\n')
  expect(seed).toMatch(/^seed +- +- +killed +killed$/)
  expect(one).toMatch(/^node-1 +60\.0 MiB +1\.2 s +60\.0 MiB +20\.0 MiB$/)
  expect(two).toMatch(/^node-2 +- +- +0 B +0 B$/)
})

it('says how often the image left the seed', () => {
  expect(formatSeedShare({ fromPeers: 0, toPeers: 90 * MIB }, 3, 60 * MIB)).toContain('1.50 times (90.0 MiB)')
})

it('sums the samples of one metric that have a label', () => {
  const text = [
    '# HELP layermesh_received_bytes_total Payload',
    'layermesh_received_bytes_total{source="peer",scope="zone"} 5',
    'layermesh_received_bytes_total{source="peer",scope="far"} 7',
    'layermesh_received_bytes_total{source="upstream",scope="far"} 100',
    'layermesh_received_bytes_total_other{source="peer"} 1000'
  ].join('\n')
  expect(sumOf(text, 'layermesh_received_bytes_total', 'source="peer"')).toBe(12)
  expect(sumOf(text, 'layermesh_sent_bytes_total', 'target="peer"')).toBe(0)
})
