import type { Platform } from './descriptor.ts'

const PLATFORM = /^([a-z0-9]{1,32})\/([a-z0-9]{1,32})(?:\/([a-z0-9]{1,32}))?$/

/** Reads `os/architecture[/variant]`, such as `linux/arm64`; undefined when it is none (image-spec §Image Index, platform). */
export function parsePlatform(text: string): Platform | undefined {
  const [, os, architecture, variant] = PLATFORM.exec(text) ?? []
  if (os === undefined || architecture === undefined) return undefined
  return { os, architecture, ...(variant === undefined ? {} : { variant }) }
}

/** The platform as {@link parsePlatform} reads it. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return `${os}/${architecture}${variant === undefined ? '' : `/${variant}`}`
}

/** Whether what an index says of a child is the wanted platform; a variant counts only where one is wanted. */
export function isPlatform(told: Platform | undefined, wanted: Platform): boolean {
  if (told?.os !== wanted.os || told.architecture !== wanted.architecture) return false
  return wanted.variant === undefined || told.variant === wanted.variant
}
