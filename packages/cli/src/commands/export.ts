import { stat } from 'node:fs/promises'
import { type ImageReference, parseImageReference } from '@layermesh/oci'
import { type Command, Option } from 'commander'
import type { ArchiveSink } from '../archive/archive-sink.ts'
import type { ExportedImage, ExportRequest } from '../archive/export-images.ts'
import type { CommandContext } from '../context.ts'
import { CliFailure } from '../failure.ts'
import { createPartDisplay } from '../part-display.ts'
import { hostPlatform, readPlatform } from '../platforms.ts'
import { checkReference, withoutRegistry } from '../registry-name.ts'
import { addRegistryFlags, connectToRegistry, type RegistryFlags } from '../registry-place.ts'

interface ExportFlags extends RegistryFlags {
  readonly output: string
  readonly format: 'oci' | 'docker'
  readonly platform?: string
  readonly as?: string
  readonly referrers?: true
}

const STANDARD_OUTPUT = '-'

/** `export`: writes images into an archive. */
export function addExportCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('export')
    .description('write images into an archive, which import, docker load, podman and skopeo read')
    .argument('<REF...>', 'NAME[:TAG][@DIGEST]')
    .requiredOption('-o, --output <FILE|DIR>', 'a tar; a directory when it ends with / or is one; - is standard output')
    .addOption(
      new Option('--format <FORMAT>', 'oci: an OCI layout; docker: for docker load')
        .choices(['oci', 'docker'])
        .default('oci')
    )
    .option('--platform <PLATFORM>', 'only the image for this one (default: all; for docker that of this host)')
    .option('--as <REF>', 'what the archive calls the image')
    .option('--referrers', 'signatures and what else is about the images too')
  addRegistryFlags(command).action(async (references: readonly string[], flags: ExportFlags) => {
    const platform = readPlatform(flags.platform) ?? (flags.format === 'docker' ? hostPlatform() : undefined)
    for (const reference of references) checkReference(reference)
    if (flags.as !== undefined && references.length > 1)
      throw new CliFailure('USAGE', '--as names one image, not several')
    const { exportImages } = await import('../archive/export-images.ts')
    const { api, url } = await connectToRegistry(flags, context)
    const requests = references.map((reference) => toRequest(withoutRegistry(reference, url), flags.as))
    const sink = await openSink(flags, context)
    // Where the archive itself goes to standard output, the rest has no place there.
    const told = flags.output === STANDARD_OUTPUT ? context.err : context.out
    const display = createPartDisplay(told, flags.json === true)
    try {
      const { format, referrers = false } = flags
      const options = { format, referrers, ...(platform === undefined ? {} : { platform }) }
      const onProgress = (progress: Parameters<typeof display.show>[0]) => display.show(progress)
      const images = await exportImages({ registry: api, sink, onProgress }, requests, options)
      await sink.finish()
      display.end(images.map((image) => formatImage(image, flags.output)).join(''), { images })
    } catch (error) {
      await sink.abort()
      throw error
    } finally {
      api.close()
    }
  })
}

function toRequest(text: string, as: string | undefined): ExportRequest {
  const reference = parseImageReference(text)
  if (as === undefined) return { reference, name: nameOf(reference) }
  checkReference(as)
  const name = nameOf(parseImageReference(as))
  if (name === undefined) throw new CliFailure('USAGE', '--as takes a tag, no digest: the image has its own')
  return { reference, name }
}

function nameOf({ repository, tag }: ImageReference): string | undefined {
  return tag === undefined ? undefined : `${repository}:${tag}`
}

async function openSink({ output, format }: ExportFlags, { out }: CommandContext): Promise<ArchiveSink> {
  const { DirectorySink, TarSink } = await import('../archive/archive-sink.ts')
  if (output === STANDARD_OUTPUT) {
    if (!out.isTerminal) return TarSink.toStandardOutput()
    throw new CliFailure('USAGE', 'an archive is nothing to look at; send it to a file or a pipe')
  }
  const isDirectory = output.endsWith('/') || ((await stat(output).catch(() => undefined))?.isDirectory() ?? false)
  if (!isDirectory) return await TarSink.toFile(output)
  if (format === 'docker') throw new CliFailure('USAGE', 'docker load takes a file: name one with --output')
  return await DirectorySink.create(output)
}

function formatImage({ name, digest }: ExportedImage, output: string): string {
  return `${name === undefined ? digest : `${name}@${digest}`} is in ${output === STANDARD_OUTPUT ? 'the archive' : output}\n`
}
