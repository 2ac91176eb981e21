import { readFile } from 'node:fs/promises'
import { listUsers } from '@layermesh/access/basics'
import { ConfigError } from '../config/index.ts'
import type { NodeConfig } from '../config/node-config.ts'

/** Checks the files that access control needs, without starting anything. @throws {AccessError} {ConfigError} */
export async function checkAccessFiles({ access }: Pick<NodeConfig, 'access'>): Promise<void> {
  if (access?.htpasswd !== undefined) await listUsers(access.htpasswd)
  for (const { caFile } of access?.oidc ?? []) if (caFile !== undefined) await readCa(caFile)
}

/** The authorities that vouch for an identity provider, in PEM. @throws {ConfigError} FILE_UNREADABLE */
export async function readCa(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    throw new ConfigError('FILE_UNREADABLE', `access.oidc: the authorities of ${path} can not be read (${code})`, {
      cause
    })
  }
}
