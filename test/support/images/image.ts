import { readFile } from 'node:fs/promises'
import { type Descriptor, MEDIA_TYPE, type Platform } from '@layermesh/oci'
import { pathOf } from '../requirements.ts'
import { addLayer, bytesFile, type Layer, type LayerFile, textFile } from './layers.ts'
import { noise, noiseHash } from './noise.ts'
import { OciLayout } from './oci-layout.ts'

const SMALL_FILES = 200
const DEFAULT_NOISE_BYTES = 3 * 1024 * 1024

/** The two families of media types that clients speak. */
const MEDIA_TYPES = {
  oci: {
    index: MEDIA_TYPE.ociIndex,
    manifest: MEDIA_TYPE.ociManifest,
    config: MEDIA_TYPE.ociConfig,
    layer: MEDIA_TYPE.ociLayerGzip
  },
  docker: {
    index: MEDIA_TYPE.dockerManifestList,
    manifest: MEDIA_TYPE.dockerManifest,
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip'
  }
} as const

export interface ImageOptions {
  /** What a container of the image prints first, and what makes its content differ from other images'. */
  readonly name: string
  /** @default 'oci' */
  readonly format?: keyof typeof MEDIA_TYPES
  /** Size of a layer that no compression makes smaller. @default 3 MiB */
  readonly noiseBytes?: number
}

/** The image for one platform. */
export interface PlatformImage {
  readonly platform: Platform
  readonly manifest: Descriptor
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

export interface BuiltImage {
  readonly layout: OciLayout
  readonly index: Descriptor
  /** First the platform of this machine, which runs; then another. */
  readonly platforms: readonly [PlatformImage, PlatformImage]
  /** What a container of the image prints. */
  readonly output: string
  /** The layer that only this image has. */
  readonly noiseLayer: Descriptor
}

/** Makes an image of several layers for two architectures, as an OCI layout in `directory`. */
export async function buildImage(directory: string, options: ImageOptions): Promise<BuiltImage> {
  const { name, format = 'oci', noiseBytes = DEFAULT_NOISE_BYTES } = options
  const types = MEDIA_TYPES[format]
  const layout = await OciLayout.create(directory)
  const noiseFile = { path: 'data/noise.bin', size: noiseBytes, content: noise(name, noiseBytes) }
  const noiseLayer = await addLayer(layout, types.layer, [noiseFile])

  const build = async (architecture: string, base: readonly LayerFile[]): Promise<PlatformImage> => {
    const platform = { architecture, os: 'linux' }
    const layers = [
      await addLayer(layout, types.layer, base),
      await addLayer(layout, types.layer, applicationFiles(name, architecture)),
      noiseLayer
    ]
    const config = await layout.addJson(types.config, imageConfig(platform, layers))
    const manifest = await layout.addJson(types.manifest, {
      schemaVersion: 2,
      mediaType: types.manifest,
      config,
      layers: layers.map(({ descriptor }) => descriptor)
    })
    return { platform, manifest, config, layers: layers.map(({ descriptor }) => descriptor) }
  }

  const [own, other] = process.arch === 'arm64' ? ['arm64', 'amd64'] : ['amd64', 'arm64']
  const platforms = [
    await build(own, await busyboxFiles()),
    await build(other, [textFile('bin/busybox', `a program for ${other}`)])
  ] as const
  const index = await layout.addJson(types.index, {
    schemaVersion: 2,
    mediaType: types.index,
    manifests: platforms.map(({ manifest, platform }) => ({ ...manifest, platform }))
  })
  await layout.setImage(index)
  const output = `${greeting(name, own)}\n${noiseHash(name, noiseBytes)}  /data/noise.bin\n`
  return { layout, index, platforms, output, noiseLayer: noiseLayer.descriptor }
}

/** Without busybox the image is whole all the same; it only can't run. */
async function busyboxFiles(): Promise<LayerFile[]> {
  const path = pathOf('busybox')
  const busybox = path === undefined ? Buffer.from('no program') : await readFile(path)
  return [bytesFile('bin/busybox', busybox, 0o755), textFile('etc/passwd', 'root:x:0:0:root:/:/bin/sh\n')]
}

function applicationFiles(name: string, architecture: string): LayerFile[] {
  const small = Array.from({ length: SMALL_FILES }, (_, i) => textFile(`app/${i}.txt`, `${name} ${i}\n`.repeat(i)))
  return [textFile('app/greeting.txt', `${greeting(name, architecture)}\n`), ...small]
}

function greeting(name: string, architecture: string): string {
  return `hello from ${name} for ${architecture}`
}

function imageConfig(platform: Platform, layers: readonly Layer[]) {
  const created = new Date(0).toISOString()
  return {
    ...platform,
    created,
    config: {
      Env: ['PATH=/bin'],
      Cmd: ['/bin/busybox', 'sh', '-c', 'busybox cat /app/greeting.txt && busybox sha256sum /data/noise.bin']
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: layers.map(() => ({ created, created_by: 'layermesh test' }))
  }
}
