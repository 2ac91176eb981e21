#!/usr/bin/env node
// Sets up what is missing, then runs one of the project's own tasks under the Node that set-up chose.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { binaries, run, setUp, top } from './setup.mjs'

const [task, ...args] = process.argv.slice(2)
const layermesh = join(top, 'packages', 'cli', 'bin', 'layermesh')

const CHECKS = [
  'check:format',
  'check:types',
  'check:imports',
  'check:unused',
  'test:unit',
  'test:security',
  'test:chaos',
  'test:conformance',
  'test:e2e'
]

const tasks = {
  start: () => handOver(layermesh, ['node', '--role', 'seed', ...args]),
  demo: () => handOver(layermesh, ['demo', ...args]),
  exec: () => handOver(args[0], args.slice(1)),
  check: () => {
    const took = []
    for (const name of CHECKS) {
      const began = performance.now()
      process.stderr.write(`\n== ${name}\n`)
      const { status } = run(join(binaries, 'pnpm'), ['--silent', 'run', name])
      if (status !== 0) {
        process.stderr.write(`\n${name} failed; once mended, run it alone with: npm run run:in -- pnpm ${name}\n`)
        process.exit(status ?? 1)
      }
      took.push(`${name} ${Math.round((performance.now() - began) / 1000)} s`)
    }
    process.stderr.write(`\n${took.join(', ')}\n`)
  }
}

if (!Object.hasOwn(tasks, task ?? '')) {
  process.stderr.write(`usage: run.mjs ${Object.keys(tasks).join('|')} [ARGUMENTS]\n`)
  process.exit(2)
}
setUp()
tasks[task]()

/** Runs a long-lived command in the foreground: signals go on to it, and its end is ours. */
function handOver(command, commandArgs) {
  const path = [binaries, join(top, 'node_modules', '.bin'), process.env.PATH].join(':')
  const child = spawn(command, commandArgs, { stdio: 'inherit', env: { ...process.env, PATH: path } })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    process.stderr.write(`${command} did not start: ${error.message}\n`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)))
}
