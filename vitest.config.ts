import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

const source = { resolve: { conditions: ['layermesh-source'] }, ssr: { resolve: { conditions: ['layermesh-source'] } } }

/**
 * Time limits only end what hangs: a test may get a hundredth of a busy machine. What a test waits for itself ends before
 * it does.
 */
const poll = { timeout: 90_000, interval: 20 }

export default defineConfig({
  test: {
    projects: [
      {
        ...source,
        test: {
          name: 'unit',
          pool: 'forks',
          include: ['packages/*/src/**/*.test.ts', 'test/{deploy,bench}/**/*.test.ts'],
          // By default there is one less than there are cores, but much of it is waiting.
          maxWorkers: Math.max(2, availableParallelism() - 1),
          expect: { poll },
          testTimeout: 180_000,
          hookTimeout: 180_000
        }
      },
      {
        ...source,
        test: {
          name: 'security',
          pool: 'forks',
          include: ['test/security/**/*.test.ts'],
          // Much of it is waiting.
          maxWorkers: 3,
          expect: { poll },
          testTimeout: 600_000,
          hookTimeout: 300_000
        }
      },
      ...(['chaos', 'conformance', 'e2e'] as const).map((name) => ({
        ...source,
        test: {
          name,
          pool: 'forks' as const,
          include: [`test/${name}/**/*.test.ts`],
          // Much of it is waiting. More at a time would only have them wait for one another.
          maxWorkers: 2,
          expect: { poll },
          // They end what hangs; what a test waits for has deadlines of its own.
          testTimeout: 900_000,
          hookTimeout: 900_000
        }
      }))
    ]
  }
})
