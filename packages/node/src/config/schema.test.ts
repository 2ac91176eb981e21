import { readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { settingsJsonSchema } from './schema.ts'
import { SETTING_KEYS } from './setting-keys.ts'

it('is published as it is: deploy/config.schema.json is what `layermesh config schema` prints', async () => {
  const published = await readFile(new URL('../../../../deploy/config.schema.json', import.meta.url), 'utf8')
  expect(JSON.parse(published)).toEqual(settingsJsonSchema())
})

it('documents every setting', () => {
  const undocumented: string[] = []
  const visit = (node: { description?: string; properties?: object }, path: string) => {
    if (path !== '' && !node.description) undocumented.push(path)
    for (const [name, child] of Object.entries(node.properties ?? {})) visit(child, `${path}.${name}`)
  }
  visit(settingsJsonSchema(), '')
  expect(undocumented).toEqual([])
})

it('names a variable of its own for each setting', () => {
  const variables = SETTING_KEYS.map(({ variable }) => variable)
  expect(new Set(variables).size).toBe(variables.length)
  expect(variables).toContain('LAYERMESH_REGISTRY_OWN_HOSTS')
  expect(variables).toContain('LAYERMESH_TAGS_VALIDITY')
})
