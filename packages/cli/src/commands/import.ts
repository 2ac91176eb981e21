import type { Command } from 'commander'
import type { ImportedImage } from '../archive/import-images.ts'
import type { CommandContext } from '../context.ts'
import { printable } from '../format.ts'
import { createPartDisplay } from '../part-display.ts'
import { readPlatform } from '../platforms.ts'
import { withoutRegistry } from '../registry-name.ts'
import { addRegistryFlags, connectToRegistry, type RegistryFlags } from '../registry-place.ts'

interface ImportFlags extends RegistryFlags {
  readonly as?: string
  readonly image?: string
  readonly platform?: string
}

/** `import`: brings the images of an archive into the mesh. */
export function addImportCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('import')
    .description('bring images into the mesh from an OCI layout (directory, tar, tar.gz) or a docker save archive')
    .argument('<FILE|DIR>')
    .option('--as <REF>', 'what the image is to be called; without it, as the archive calls it')
    .option('--image <NAME>', 'which image, when the archive holds several: a name, tag or digest')
    .option('--platform <PLATFORM>', 'only the image for this one, such as linux/arm64')
  addRegistryFlags(command).action(async (path: string, flags: ImportFlags) => {
    const platform = readPlatform(flags.platform)
    const { openArchive } = await import('../archive/open-archive.ts')
    const { planImport } = await import('../archive/plan-import.ts')
    const { importImages } = await import('../archive/import-images.ts')
    const { api, url } = await connectToRegistry(flags, context)
    const archive = await openArchive(path)
    try {
      const plan = planImport(archive, {
        ...(flags.as === undefined ? {} : { as: flags.as }),
        ...(flags.image === undefined ? {} : { image: flags.image }),
        ...(platform === undefined ? {} : { platform }),
        withoutRegistry: (name) => withoutRegistry(name, url)
      })
      const display = createPartDisplay(context.out, flags.json === true)
      const images = await importImages(
        { archive, registry: api, onProgress: (progress) => display.show(progress) },
        plan
      )
      display.end(images.map(formatImage).join(''), { images })
    } finally {
      api.close()
      await archive.files.close()
    }
  })
}

function formatImage({ repository, tag, digest }: ImportedImage): string {
  return `${printable(`${repository}:${tag}`)} means ${digest}\n`
}
