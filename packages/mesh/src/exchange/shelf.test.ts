import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openContentStore } from '@layermesh/content'
import { openPieceMap, peerIdOf, sealPieceMap } from '@layermesh/trust'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { expect, it, onTestFinished } from 'vitest'
import { someBytes, store } from '../testing/mesh-fixture.ts'
import { ContentShelf } from './shelf.ts'

it('signs a map anew once the word of who signed it counts no more', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-shelf-'))
  const content = await openContentStore(directory)
  onTestFinished(async () => {
    await content.close()
    await rm(directory, { recursive: true, force: true })
  })
  const [own, gone] = [await generateKeyPair('Ed25519'), await generateKeyPair('Ed25519')]
  const digest = await store(content, someBytes(3 * 2 ** 20))
  const pieces = await content.blobs.pieceHashes(digest)
  if (!pieces) throw new Error('the blob has no pieces')
  await content.pieceMaps.put(digest, await sealPieceMap({ digest, length: 3 * 2 ** 20, ...pieces }, gone))

  const trusted = new Set([peerIdOf(own), peerIdOf(gone)])
  const arriving = { map: () => undefined, ledger: () => undefined, bringsIn: () => false, fetching: () => [] }
  const mayVouch = (signer: string) => trusted.has(signer)
  const shelf = new ContentShelf({ content, privateKey: own, arriving, mayVouch })
  const signerNow = async () => {
    const offer = await shelf.offer(digest, undefined)
    return (await openPieceMap(offer?.pieceMap ?? new Uint8Array())).signer
  }
  expect(await signerNow()).toBe(peerIdOf(gone))
  trusted.delete(peerIdOf(gone))
  expect(await signerNow()).toBe(peerIdOf(own))
  expect((await openPieceMap((await content.pieceMaps.get(digest)) ?? new Uint8Array())).signer).toBe(peerIdOf(own))
})
