import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Sandbox } from '../../support/sandbox.ts'

const SECRET_BYTES = 32

/** A file with a cluster secret, for `--secret-file`. */
export async function secretFile(sandbox: Sandbox): Promise<string> {
  const path = join(sandbox.directory, 'secret')
  await writeFile(path, randomBytes(SECRET_BYTES).toString('base64url'), { mode: 0o600 })
  return path
}
