import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Skopeo } from '../support/clients/skopeo.ts'
import { buildImage } from '../support/images/image.ts'
import { MeshNode } from '../support/node.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'

const MIB = 1024 * 1024
const SETTINGS = { store: { maxSize: '8MiB' }, uploads: { maxSessions: 2 } }
/** More than sessions may be open. */
const REFUSED_PUSHES = 4
/** As skopeo tells of an answer with 503. */
const NO_SPACE = /503 Service Unavailable/

const sandbox = useSandbox()

describeWith(['skopeo'], 'a seed without space', () => {
  test('refuses a layer as often as it is pushed, and keeps no session of it open', async () => {
    const seed = await MeshNode.start(sandbox, { name: 'small-seed', role: 'seed', settings: SETTINGS })
    const skopeo = await Skopeo.create(sandbox)
    const image = async (directory: string, noiseBytes: number) =>
      await buildImage(join(sandbox.directory, directory), { name: 'refused', noiseBytes })
    // All layers of the other one but the noise are there then, so that each push sends that one alone.
    await skopeo.push(await image('small', 1024), `${seed.registryHost}/team/app:small`)
    const large = await image('large', 12 * MIB)
    for (let push = 0; push < REFUSED_PUSHES; push++) {
      await expect(skopeo.push(large, `${seed.registryHost}/team/app:large`)).rejects.toThrow(NO_SPACE)
    }
    expect(await readdir(join(seed.dataDirectory, 'content', 'uploads'))).toEqual([])
    await skopeo.push(await image('later', 2048), `${seed.registryHost}/team/app:later`)
  })
})
