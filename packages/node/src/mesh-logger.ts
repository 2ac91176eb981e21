import { format } from 'node:util'
import type { MeshComponents } from '@layermesh/mesh'
import type { Logger } from './log.ts'

type ComponentLogger = NonNullable<MeshComponents['logger']>

/**
 * libp2p's log on ours: its errors at debug, since they tell of things that it gets over by itself, and the rest at
 * trace. Formatting costs time on busy paths, so it is left out when nobody reads it.
 */
export function meshLogger(log: Logger): ComponentLogger {
  const forComponent = (component: string) => {
    const write = (level: 'debug' | 'trace', args: readonly unknown[]) => {
      if (log.isLevelEnabled(level)) log[level]({ component }, format(...args))
    }
    return Object.assign((...args: unknown[]) => write('trace', args), {
      error: (...args: unknown[]) => write('debug', args),
      trace: (...args: unknown[]) => write('trace', args),
      enabled: log.isLevelEnabled('trace'),
      newScope: (name: string) => forComponent(`${component}:${name}`)
    })
  }
  return { forComponent }
}
