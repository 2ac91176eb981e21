import { writeFileSync } from 'node:fs'
import { simulateCommand } from './command.ts'
import { report } from './report.ts'
import { formatReport } from './table.ts'
import { World } from './world.ts'

simulateCommand(({ scenario, json }) => {
  const world = new World(scenario)
  const startedAt = performance.now()
  world.run()
  const result = report(world)
  process.stdout.write(formatReport(result))
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  process.stdout.write(`seed ${scenario.seed}; ${seconds} s to compute\n`)
  if (json) writeFileSync(json, `${JSON.stringify({ scenario, ...result }, null, 2)}\n`)
  if (result.unfinishedNodes > 0) process.exitCode = 1
}).parse()
