import { defineConfig } from 'vitest/config'

const source = { resolve: { conditions: ['layermesh-source'] }, ssr: { resolve: { conditions: ['layermesh-source'] } } }

export default defineConfig({
  test: {
    projects: [
      {
        ...source,
        test: {
          name: 'unit',
          pool: 'forks',
          include: ['packages/*/src/**/*.test.ts', 'test/{deploy,bench}/**/*.test.ts'],
          testTimeout: 30_000
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
          testTimeout: 120_000,
          hookTimeout: 120_000
        }
      },
      ...(['chaos', 'conformance', 'e2e'] as const).map((name) => ({
        ...source,
        test: {
          name,
          pool: 'forks' as const,
          include: [`test/${name}/**/*.test.ts`],
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000
        }
      }))
    ]
  }
})
