import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { gunzipSync } from 'node:zlib'
import { type Descriptor, digestHex } from '@layermesh/oci'
import { pack } from 'tar-stream'
import type { BuiltImage } from './image.ts'

/** Packs the image for this machine's platform as `docker save` does, so that `docker load` takes it under the name `reference`. */
export async function writeDockerArchive(
  { layout, platforms: [image] }: BuiltImage,
  directory: string,
  reference: string
): Promise<string> {
  const tar = pack()
  const add = (name: string, content: Buffer) => tar.entry({ name, mtime: new Date(0) }, content)
  const layerName = (layer: Descriptor) => `${digestHex(layer.digest)}/layer.tar`
  const configName = `${digestHex(image.config.digest)}.json`

  add(configName, await layout.read(image.config))
  for (const layer of image.layers) add(layerName(layer), gunzipSync(await layout.read(layer)))
  const manifest = [{ Config: configName, RepoTags: [reference], Layers: image.layers.map(layerName) }]
  add('manifest.json', Buffer.from(JSON.stringify(manifest)))
  tar.finalize()

  const path = join(directory, 'docker-archive.tar')
  await pipeline(tar, createWriteStream(path))
  return path
}
