import type { NodeConfig } from '../config/node-config.ts'
import type { NodeAccess, NodeAccessComponents } from './node-access.ts'

/**
 * Access control as it is configured; undefined where everybody may do everything, which need not load it.
 * @throws {AccessError} for users, rules and identity providers that can't be used; {ConfigError} for a CA file
 */
export async function openNodeAccess(
  components: NodeAccessComponents,
  { access, ...config }: Pick<NodeConfig, 'role' | 'access' | 'registry'>
): Promise<NodeAccess | undefined> {
  if (access === undefined) return undefined
  const { createNodeAccess } = await import('./node-access.ts')
  return await createNodeAccess(components, { ...config, access })
}
