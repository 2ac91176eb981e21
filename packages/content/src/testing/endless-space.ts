import type { Space } from '../disk/free-space.ts'

/** A disk that never fills. */
export const ENDLESS_SPACE: Space = Object.freeze({
  take: async () => {},
  check: async () => {},
  distrust: () => {}
})
