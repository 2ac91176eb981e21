import { expect, it } from 'vitest'
import { NodeMetrics } from './metrics.ts'
import { METRICS } from './metrics-table.ts'

const IDENTITY = { version: '1.2.3', role: 'seed', zone: 'a' }

function make(process = false) {
  const readings = { peers: 0, bytes: 0, arriving: 0, pending: 0 }
  const readers = {
    connectedPeers: () => readings.peers,
    storeBytes: () => readings.bytes,
    storeSpace: () => ({ limitBytes: 4_000, usedBytes: 1, minFreeBytes: 2, freeBytes: 3, full: true }),
    pinnedBytes: async () => 500,
    arrivingBlobs: () => readings.arriving,
    seedSetExpiresAt: () => undefined,
    tlsCertificateExpiresAt: () => new Date(7_000),
    pendingWebhooks: () => [{ endpoint: 'ci', pending: readings.pending }]
  }
  return { metrics: new NodeMetrics(readers, { ...IDENTITY, process }), readings }
}

async function lines(metrics: NodeMetrics): Promise<string[]> {
  return (await metrics.expose()).text.split('\n')
}

it('shows every metric of the table, with its help', async () => {
  const { metrics } = make()
  const text = await lines(metrics)
  for (const { name, help, type } of Object.values(METRICS)) {
    expect(text).toContain(`# HELP ${name} ${help}`)
    expect(text).toContain(`# TYPE ${name} ${type}`)
  }
})

it('starts every known combination of labels at 0', async () => {
  const text = await lines(make().metrics)
  expect(text).toContain('layermesh_received_bytes_total{source="peer",scope="zone"} 0')
  expect(text).toContain('layermesh_sent_bytes_total{target="client",scope="far"} 0')
  expect(text).toContain('layermesh_pulls_total{kind="manifest",result="miss"} 0')
  expect(text).toContain('layermesh_tag_resolutions_total{source="dht",result="stale"} 0')
})

it('counts what it is told', async () => {
  const { metrics } = make()
  metrics.received('peer', 'zone', 1_000)
  metrics.received('peer', 'zone', 24)
  metrics.sent('client', 'zone', 7)
  metrics.pull('blob', 'mesh')
  metrics.tagResolution('seed', 'ok')
  metrics.pieceFailure('digest')
  metrics.peerBanned('digest')
  metrics.login('throttled')
  metrics.requestRefused('push')
  metrics.providerFound(0.003)
  metrics.webhookDelivered('ci')
  metrics.webhookFailed('ci')
  metrics.webhookDead('ci')
  metrics.webhooksDropped('ci', 'full', 3)
  const text = await lines(metrics)
  expect(text).toContain('layermesh_received_bytes_total{source="peer",scope="zone"} 1024')
  expect(text).toContain('layermesh_sent_bytes_total{target="client",scope="zone"} 7')
  expect(text).toContain('layermesh_pulls_total{kind="blob",result="mesh"} 1')
  expect(text).toContain('layermesh_tag_resolutions_total{source="seed",result="ok"} 1')
  expect(text).toContain('layermesh_piece_failures_total{reason="digest"} 1')
  expect(text).toContain('layermesh_peers_banned_total{reason="digest"} 1')
  expect(text).toContain('layermesh_logins_total{result="throttled"} 1')
  expect(text).toContain('layermesh_requests_refused_total{action="push"} 1')
  expect(text).toContain('layermesh_tls_certificate_expiry_timestamp_seconds 7')
  for (const what of ['delivered', 'failed', 'dead']) {
    expect(text).toContain(`layermesh_webhooks_${what}_total{webhook="ci"} 1`)
  }
  expect(text).toContain('layermesh_webhooks_dropped_total{webhook="ci",reason="full"} 3')
  expect(text).toContain('layermesh_provider_lookup_seconds_bucket{le="0.002"} 0')
  expect(text).toContain('layermesh_provider_lookup_seconds_bucket{le="0.005"} 1')
})

it('reads its gauges when it is asked', async () => {
  const { metrics, readings } = make()
  Object.assign(readings, { peers: 3, bytes: 4, arriving: 5, pending: 6 })
  const text = await lines(metrics)
  expect(text).toContain('layermesh_connected_peers 3')
  expect(text).toContain('layermesh_store_bytes 4')
  expect(text).toContain('layermesh_arriving_blobs 5')
  expect(text).toContain('layermesh_webhooks_pending{webhook="ci"} 6')
  expect(text).toContain('layermesh_info{version="1.2.3",role="seed",zone="a"} 1')
})

it('does not grow without bound when reasons are made up', async () => {
  const { metrics } = make()
  for (let i = 0; i < 200; i++) metrics.pieceFailure(`reason ${i}`)
  const failures = (await lines(metrics)).filter((line) => line.startsWith('layermesh_piece_failures_total{'))
  expect(failures).toHaveLength(65)
  expect(failures).toContain('layermesh_piece_failures_total{reason="other"} 136')
})

it('lets two nodes live in one process, with the metrics of the process', async () => {
  const { text } = await make(true).metrics.expose()
  expect(text).toContain('layermesh_process_cpu_seconds_total')
  expect(text).toContain('layermesh_nodejs_eventloop_lag_seconds')
  make(true)
})
