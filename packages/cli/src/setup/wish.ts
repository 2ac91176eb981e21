import type { Contribution } from './contribution.ts'

/** The clients that can be pointed at a node. */
export const CLIENTS = ['docker', 'containerd', 'podman'] as const
export type Client = (typeof CLIENTS)[number]

/** What a file is to be with what layermesh adds to it. */
export interface Applied {
  readonly text: string
  readonly contribution: Contribution
  /** The command by which the client comes to go by the file without it. @default `renewal` of the wish */
  readonly undoRenewal?: string
}

/** A file that has to be changed for a client. */
export interface Wish {
  /** Of the host. */
  readonly path: string
  /** The command by which the client comes to go by the changed file; none when it reads it at each pull. */
  readonly renewal?: string
  /**
   * @param base the file without anything of layermesh; undefined when it is not there
   * @returns undefined when nothing has to be added
   */
  apply(base: string | undefined): Applied | undefined
}

/** All that is to be done for a client. */
export interface Plan {
  readonly wishes: readonly Wish[]
  /** What whoever runs it should know, one sentence each. */
  readonly notes: readonly string[]
}

/** Where Docker keeps images: in its own graph drivers, or in containerd (the default of a fresh Engine 29). */
export const DOCKER_STORES = ['classic', 'containerd'] as const
export type DockerStore = (typeof DOCKER_STORES)[number]

/** Where tags are asked: from the mesh first, or always from the registry itself. */
export const TAGS = ['mesh', 'upstream'] as const

/** The commands by which daemons come to go by changed files. */
export const RELOAD_DOCKER = 'systemctl reload docker'
export const RESTART_DOCKER = 'systemctl restart docker'
export const RESTART_CONTAINERD = 'systemctl restart containerd'

/** What all clients are told. */
export interface MirrorOptions {
  /** `http://HOST:PORT` of the node. */
  readonly mirror: string
  /** Those to be asked from the node first; the client's own choice when there are none. */
  readonly registries: readonly string[]
  readonly tags: (typeof TAGS)[number]
}

/** Reads the files of a host as they are without anything that layermesh added for this client. */
export interface HostView {
  /** @returns undefined when the file is not there */
  read(path: string): Promise<string | undefined>
  /** The names in a directory, sorted; none when it is not there. */
  list(path: string): Promise<readonly string[]>
  /** Whether layermesh has written this file for this client. */
  isOurs(path: string): Promise<boolean>
}
