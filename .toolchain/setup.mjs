#!/usr/bin/env node
// Sets up what is missing and nothing else, all inside the checkout: a Node that fits, pnpm, the packages, the build.
// Plain JavaScript that Node 20 runs, since it may be all that the machine has.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const toolchain = dirname(fileURLToPath(import.meta.url))
export const top = dirname(toolchain)
export const binaries = join(toolchain, 'bin')
const stateFile = join(toolchain, 'state.json')
const NEEDED_NODE = [22, 19]
/** In ms, before what a hiccup of the network ended is tried again. */
const FETCH_PAUSES = [5_000, 20_000]

/**
 * Brings the checkout to a state in which layermesh runs.
 * @param {{ build?: boolean }} options `build: false` leaves the TypeScript build out.
 * @returns {string} the path of the Node to run it with
 */
export function setUp({ build = true } = {}) {
  const state = readState()
  const node = chooseNode(state)
  installPackages(state)
  if (build) buildPackages(node)
  return node
}

/** Runs a command with the chosen Node and the workspace's commands first on PATH. */
export function run(command, args, options = {}) {
  const path = [binaries, join(top, 'node_modules', '.bin'), process.env.PATH].join(':')
  const result = spawnSync(command, args, {
    stdio: 'inherit',
    cwd: top,
    ...options,
    env: { ...process.env, PATH: path }
  })
  if (result.error) fail(`${command} did not start: ${result.error.message}`)
  return result
}

function chooseNode(state) {
  const current = process.versions.node.split('.').map(Number)
  const fits = current[0] > NEEDED_NODE[0] || (current[0] === NEEDED_NODE[0] && current[1] >= NEEDED_NODE[1])
  const manifest = readFileSync(join(toolchain, 'package-lock.json'))
  const wanted = digest(manifest)
  const pnpm = join(toolchain, 'node_modules', 'pnpm', 'bin', 'pnpm.cjs')
  // Installing takes away what it does not bring back; that must not be the Node that runs this.
  const runsOwn = process.execPath.startsWith(join(toolchain, 'node_modules', '/'))
  if (state.toolchain !== wanted || !existsSync(pnpm)) {
    say(
      fits
        ? 'bringing pnpm (pinned) into .toolchain/'
        : `this is Node ${process.versions.node}; bringing Node 24 and pnpm (pinned) into .toolchain/`
    )
    const args = [
      'ci',
      '--no-audit',
      '--no-fund',
      '--ignore-scripts',
      '--loglevel=error',
      ...(fits && !runsOwn ? ['--omit=optional'] : [])
    ]
    mustFetch('npm', args, { cwd: toolchain })
    remember(state, { toolchain: wanted })
  }
  const own = join(toolchain, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node')
  if (!fits && !existsSync(own)) {
    // A set-up under a newer Node left the pinned one out; under this one it is needed.
    if (state.toolchain === wanted)
      mustFetch('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'], { cwd: toolchain })
    if (!existsSync(own)) {
      fail(
        `layermesh needs Node ${NEEDED_NODE.join('.')} or newer, this is ${process.versions.node}, and none can be brought for ${process.platform}-${process.arch}: install Node 24 and run the command again`
      )
    }
  }
  const node = fits ? process.execPath : own
  mkdirSync(binaries, { recursive: true })
  link(node, join(binaries, 'node'))
  const launcher = `#!/bin/sh\nexec "$(dirname "$0")/node" "$(dirname "$0")/../node_modules/pnpm/bin/pnpm.cjs" "$@"\n`
  if (!existsSync(join(binaries, 'pnpm'))) writeFileSync(join(binaries, 'pnpm'), launcher, { mode: 0o755 })
  return join(binaries, 'node')
}

function installPackages(state) {
  const inputs = ['pnpm-lock.yaml', 'pnpm-workspace.yaml', 'package.json', 'test/package.json', ...packageManifests()]
  const wanted = digest(...inputs.map((file) => readFileSync(join(top, file))))
  if (state.packages === wanted && existsSync(join(top, 'node_modules', '.bin', 'layermesh'))) return
  say('installing packages')
  mustFetch(join(binaries, 'pnpm'), ['install', '--frozen-lockfile', '--reporter=append-only', '--loglevel=warn'], {
    env: { CI: 'true' }
  })
  remember(state, { packages: wanted })
}

function buildPackages(node) {
  // tsc -b looks at what changed itself; on an unchanged tree it takes well under a second.
  must(node, [join(top, 'node_modules', 'typescript', 'bin', 'tsc'), '-b'])
}

function packageManifests() {
  return readdirSync(join(top, 'packages'))
    .map((name) => `packages/${name}/package.json`)
    .filter((file) => existsSync(join(top, file)))
}

function must(command, args, options) {
  const failure = attempt(command, args, options)
  if (failure !== undefined) fail(failure)
}

/** The same for what comes through the network. */
function mustFetch(command, args, options) {
  for (const pauseMs of FETCH_PAUSES) {
    const failure = attempt(command, args, options)
    if (failure === undefined) return
    say(`${failure}; trying again in ${pauseMs / 1000} s`)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs)
  }
  must(command, args, options)
}

/** What went wrong; undefined when nothing did. */
function attempt(command, args, { env, ...options } = {}) {
  const path = [binaries, process.env.PATH].join(':')
  const result = spawnSync(command, args, {
    cwd: top,
    stdio: ['ignore', 2, 2],
    ...options,
    env: { ...process.env, ...env, PATH: path }
  })
  if (result.error) fail(`${command} did not start: ${result.error.message}`)
  if (result.signal !== null) fail(`\`${command} ${args.join(' ')}\` was ended by ${result.signal}`)
  if (result.status === 0) return undefined
  return `\`${command} ${args.join(' ')}\` ended with ${result.status}; its output above says why`
}

function link(target, path) {
  const present = lstatSync(path, { throwIfNoEntry: false })
  if (present) rmSync(path)
  symlinkSync(target, path)
}

function readState() {
  try {
    return JSON.parse(readFileSync(stateFile, 'utf8'))
  } catch {
    return {}
  }
}

function remember(state, change) {
  Object.assign(state, change)
  writeFileSync(stateFile, `${JSON.stringify(state)}\n`)
}

function digest(...parts) {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}

function say(line) {
  process.stderr.write(`setup: ${line}\n`)
}

function fail(line) {
  say(line)
  process.exit(1)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  setUp()
  say('ready: node_modules/.bin/layermesh')
}
