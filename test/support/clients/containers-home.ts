import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Sandbox } from '../sandbox.ts'

/** A mirror as registries.conf knows it: names that start with `prefix` are asked from `mirror` first. */
export interface PrefixMirror {
  readonly prefix: string
  /** `host:port[/path]` that stands in for the prefix; spoken to over plain HTTP. */
  readonly mirror: string
}

/** What podman, skopeo and buildah read and write in place of /etc/containers, /var/lib/containers and the user's home. */
export interface ContainersHome {
  readonly directory: string
  readonly policyFile: string
  /** Which the environment names for podman and buildah; skopeo has to be told. */
  readonly registriesFile: string
  readonly env: Readonly<Record<string, string>>
}

/**
 * Makes a home in which the three tools touch nothing outside the sandbox. runc runs the containers, since crun
 * refuses machines with both versions of cgroups; the limits are set to what root without CAP_SYS_RESOURCE may ask for.
 */
export async function createContainersHome(
  sandbox: Sandbox,
  name: string,
  mirrors: readonly PrefixMirror[] = [],
  moreEnv: Readonly<Record<string, string>> = {}
): Promise<ContainersHome> {
  const directory = await sandbox.makeDirectory(name)
  const write = async (file: string, text: string) => {
    await writeFile(join(directory, file), text)
    return join(directory, file)
  }
  const storage = [
    '[storage]',
    'driver = "overlay"',
    `graphroot = "${directory}/store"`,
    `runroot = "${directory}/run"`
  ]
  const containers = [
    '[containers]',
    'default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]',
    '[engine]',
    'runtime = "runc"',
    'cgroup_manager = "cgroupfs"',
    'events_logger = "none"',
    // The locks in shared memory are those of the whole machine.
    'lock_type = "file"',
    `tmp_dir = "${directory}/engine"`,
    `volume_path = "${directory}/volumes"`,
    '[network]',
    `network_config_dir = "${directory}/network"`
  ]
  const registriesFile = await write('registries.conf', mirrors.map(registriesConfEntry).join('\n'))
  const env = {
    ...moreEnv,
    HOME: directory,
    TMPDIR: directory,
    XDG_RUNTIME_DIR: directory,
    CONTAINERS_CONF: await write('containers.conf', containers.join('\n')),
    CONTAINERS_STORAGE_CONF: await write('storage.conf', storage.join('\n')),
    CONTAINERS_REGISTRIES_CONF: registriesFile
  }
  const policyFile = await write('policy.json', JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }))
  return { directory, policyFile, registriesFile, env }
}

function registriesConfEntry({ prefix, mirror }: PrefixMirror): string {
  return [
    '[[registry]]',
    `prefix = "${prefix}"`,
    `location = "${prefix}"`,
    '[[registry.mirror]]',
    `location = "${mirror}"`,
    'insecure = true',
    ''
  ].join('\n')
}
