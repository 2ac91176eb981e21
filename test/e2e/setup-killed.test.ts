import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { runCommandLine } from '../../packages/cli/src/run.ts'
import { fakeContext } from '../../packages/cli/src/testing/fake-context.ts'
import { LAYERMESH } from '../support/node.ts'
import { run } from '../support/process.ts'
import { useSandbox } from '../support/sandbox.ts'

const DIES_AT_STEP = join(import.meta.dirname, '../support/dies-at-step.ts')
const CONFIG = 'etc/containerd/config.toml'
const HOSTS = 'etc/containerd/certs.d/_default/hosts.toml'
const CONFIG_BEFORE = 'version = 2 # by hand\n'
const MORE_STEPS_THAN_ANY_RUN = 100

const sandbox = useSandbox()

/** A host whose containerd is to be set up. */
async function makeHost(name: string): Promise<string> {
  const root = await sandbox.makeDirectory(name)
  await mkdir(join(root, 'etc/containerd'), { recursive: true })
  await writeFile(join(root, CONFIG), CONFIG_BEFORE)
  return root
}

const SET_UP = ['setup', 'containerd', '--mirror', 'http://127.0.0.1:5000']
const UNDO = ['setup', 'undo']

/** Runs it, and kills it before a step. @returns whether it came to its end before */
async function survives(root: string, args: readonly string[], step: number): Promise<boolean> {
  const env = { NODE_OPTIONS: `--import=${DIES_AT_STEP}`, DIES_AT_STEP: `${step}` }
  const { code, signal, stderr } = await run(LAYERMESH, [...args, '--root', root], { env })
  expect(signal === 'SIGKILL' || code === 0, `step ${step}: ${signal ?? code}\n${stderr}`).toBe(true)
  return code === 0
}

/** Runs it to its end, in this process, which is quicker. */
async function layermesh(root: string, args: readonly string[]): Promise<void> {
  const context = fakeContext()
  expect([await runCommandLine([...args, '--root', root], context), context.err.text]).toEqual([0, ''])
}

async function filesOf(root: string): Promise<(string | undefined)[]> {
  return Promise.all([CONFIG, HOSTS].map((path) => readFile(join(root, path), 'utf8').catch(() => undefined)))
}

/** All that is there, so that nothing is left that was not before. */
async function namesIn(root: string): Promise<string[]> {
  return (await readdir(root, { recursive: true })).filter((name) => !/^var(\/lib)?$/.test(name)).toSorted()
}

describe('kill -9 at each step', () => {
  test('of a set-up leaves each file as it was or as it is to be, to be finished or undone', async () => {
    const root = await makeHost('setting-up')
    const [before, names] = [await filesOf(root), await namesIn(root)]
    await layermesh(root, SET_UP)
    const after = await filesOf(root)
    await layermesh(root, UNDO)
    expect(after).not.toContain(undefined)

    let step = 0
    for (; step < MORE_STEPS_THAN_ANY_RUN; step++) {
      const survived = await survives(root, SET_UP, step)
      const now = await filesOf(root)
      for (const [index, text] of now.entries()) expect([before[index], after[index]], `step ${step}`).toContain(text)
      if (step % 2 === 0) {
        await layermesh(root, SET_UP)
        expect(await filesOf(root), `finished after step ${step}`).toEqual(after)
      }
      await layermesh(root, UNDO)
      expect(await filesOf(root), `undone after step ${step}`).toEqual(before)
      expect(await namesIn(root), `undone after step ${step}`).toEqual(names)
      if (survived) break
    }
    expect(step).toBeGreaterThan(20)
    expect(step).toBeLessThan(MORE_STEPS_THAN_ANY_RUN)
  })

  test('of an undoing leaves each file as it was or as it is, to be undone', async () => {
    const root = await makeHost('undoing')
    const [before, names] = [await filesOf(root), await namesIn(root)]
    await layermesh(root, SET_UP)
    const after = await filesOf(root)
    let step = 0
    // One step further each time: what the last one left is gone on from.
    while (step < MORE_STEPS_THAN_ANY_RUN && !(await survives(root, UNDO, step))) {
      const now = await filesOf(root)
      for (const [index, text] of now.entries()) expect([before[index], after[index]], `step ${step}`).toContain(text)
      await layermesh(root, step % 2 === 0 ? SET_UP : UNDO)
      if (step % 2 !== 0) {
        expect(await filesOf(root), `undone after step ${step}`).toEqual(before)
        await layermesh(root, SET_UP)
      }
      expect(await filesOf(root), `set up after step ${step}`).toEqual(after)
      step += 1
    }
    expect(step).toBeGreaterThan(10)
    expect(await filesOf(root)).toEqual(before)
    expect(await namesIn(root)).toEqual(names)
  })
})
