import { link, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { digestHex } from '@layermesh/oci'
import type { BuiltImage } from './image.ts'

/**
 * Lays an image out as skopeo's `dir:` transport does: `manifest.json`, one `HEX.manifest.json` for each platform,
 * and the blobs by their hex digits. Unlike an OCI layout it takes images with Docker's media types as they are.
 */
export async function writeSkopeoDirectory(image: BuiltImage, directory: string): Promise<void> {
  await mkdir(directory, { recursive: true })
  await writeFile(join(directory, 'version'), 'Directory Transport Version: 1.1\n')
  await link(image.layout.pathOf(image.index), join(directory, 'manifest.json'))
  const linked = new Set<string>()
  for (const { manifest, config, layers } of image.platforms) {
    await link(image.layout.pathOf(manifest), join(directory, `${digestHex(manifest.digest)}.manifest.json`))
    for (const blob of [config, ...layers].filter(({ digest }) => !linked.has(digest))) {
      await link(image.layout.pathOf(blob), join(directory, digestHex(blob.digest)))
      linked.add(blob.digest)
    }
  }
}
