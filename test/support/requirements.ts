import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe, test } from 'vitest'

/** What a test may need of the machine, with the Debian package that brings it. */
export const PACKAGES = {
  buildah: 'buildah',
  busybox: 'busybox-static',
  containerd: 'containerd',
  ctr: 'containerd',
  docker: 'docker.io',
  'docker-registry': 'docker-registry',
  dockerd: 'docker.io',
  openssl: 'openssl',
  podman: 'podman',
  runc: 'runc',
  skopeo: 'skopeo'
} as const

export type Program = keyof typeof PACKAGES

/** The others mount, or run containers. */
const RUNS_FOR_ANY_USER: ReadonlySet<Program> = new Set(['busybox', 'docker-registry', 'openssl', 'skopeo'])

/** Why these tests can't run on this machine; undefined when they can. */
function whatIsMissing(programs: readonly Program[]): string | undefined {
  const missing = programs.filter((program) => pathOf(program) === undefined)
  if (missing.length > 0) {
    const packages = [...new Set(missing.map((program) => PACKAGES[program]))]
    return `${missing.join(' and ')} not found; Debian: apt-get install ${packages.join(' ')}`
  }
  const needsRoot = programs.some((program) => !RUNS_FOR_ANY_USER.has(program))
  return needsRoot && process.getuid?.() !== 0 ? 'must be run by root' : undefined
}

/**
 * A suite that needs programs of this machine, and root when they need it. Where they are missing it is skipped with
 * the reason in its title; in CI it fails instead, since a skip there would hide that nothing was tested.
 */
export function describeWith(programs: readonly Program[], title: string, body: () => void): void {
  describeUnless(whatIsMissing(programs), title, body)
}

/** The same for a suite that needs something else: `missing` says what, and is undefined when it is here. */
export function describeUnless(missing: string | undefined, title: string, body: () => void): void {
  if (missing === undefined) describe(title, body)
  else if (process.env.CI === 'true') {
    test(title, () => {
      throw new Error(missing)
    })
  } else describe.skip(`${title} (skipped: ${missing})`, body)
}

/** The path of a program; undefined when it is not installed. */
export function pathOf(program: Program): string | undefined {
  const directories = (process.env.PATH ?? '').split(delimiter).filter((directory) => directory !== '')
  return directories.map((directory) => join(directory, program)).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
