import type { ImageSummary, NodeStatus, PeerSummary, TransferSummary } from '@layermesh/node'
import { formatAge, formatBytes, formatPairs, formatTable, nameOfSource, shortDigest, shortPeer } from './format.ts'

/** @param now in ms since 1970 */
export function formatStatus(status: NodeStatus, now: number): string {
  const { store } = status
  const free = store.freeBytes === undefined ? '' : `, ${formatBytes(store.freeBytes)} free`
  const limit = store.limitBytes === undefined ? '' : ` of ${formatBytes(store.limitBytes)}`
  const pinned = store.pinnedBytes === 0 ? '' : `, ${formatBytes(store.pinnedBytes)} pinned`
  const full = store.full ? '; full: nothing can be spared' : ''
  const arriving = store.arriving === 0 ? '' : `, ${store.arriving} arriving`
  return formatPairs([
    ['peer id', status.peerId],
    ['role', status.role],
    ['zone', status.zone],
    ['version', status.version],
    ['running for', formatAge(now - Date.parse(status.startedAt))],
    ['registry', status.registry],
    ...(status.mirror === undefined ? [] : [['mirror', status.mirror] as const]),
    ...status.meshAddresses.map((address, index) => [index === 0 ? 'mesh' : '', address] as const),
    ['peers', String(status.peers)],
    ['store', `${store.blobs} blobs, ${formatBytes(store.bytes)}${limit}${free}${pinned}${arriving}${full}`],
    ['ready', status.ready ? 'yes' : `no: ${status.notReady.join('; ')}`]
  ])
}

export function formatPeers(peers: readonly PeerSummary[]): string {
  if (peers.length === 0) return 'no peer is connected\n'
  return formatTable(
    ['peer id', 'role', 'zone', 'version', 'round trip', 'received', 'sent', 'address'],
    peers.map((peer) => [
      peer.peerId,
      peer.role,
      peer.zone,
      peer.version,
      peer.roundTripMs === undefined ? '-' : `${peer.roundTripMs.toFixed(1)} ms`,
      formatBytes(peer.receivedBytes),
      formatBytes(peer.sentBytes),
      peer.addresses[0] ?? '-'
    ])
  )
}

/** @param now in ms since 1970 */
export function formatImages(images: readonly ImageSummary[], now: number): string {
  if (images.length === 0) return 'no image is known here; push one, or bring one with: layermesh pull REF\n'
  return formatTable(
    ['image', 'digest', 'size', 'here', 'signed by', 'sequence', 'confirmed'],
    images.map((image) => [
      `${image.repository}:${image.tag}`,
      shortDigest(image.digest),
      formatBytes(image.size),
      image.complete ? 'all' : 'in part',
      shortPeer(image.signedBy),
      String(image.sequence),
      `${formatAge(now - Date.parse(image.confirmedAt))} ago`
    ])
  )
}

export function formatTransfers(transfers: readonly TransferSummary[]): string {
  if (transfers.length === 0) return 'nothing is arriving\n'
  return formatTable(
    ['digest', 'size', 'here', 'from'],
    transfers.map(({ digest, size, heldBytes, sources }) => [
      shortDigest(digest),
      formatBytes(size),
      size === 0 ? '100 %' : `${Math.floor((100 * heldBytes) / size)} %`,
      sources.map((source) => `${nameOfSource(source)} ${formatBytes(source.bytes)}`).join(', ')
    ])
  )
}
