import { expect, it } from 'vitest'
import { ConfigError } from './errors.ts'
import { loadConfig } from './load.ts'

const load = (text: string) => loadConfig({ file: 'mesh.yaml', text: `role: seed\n${text}` })

async function failure(text: string): Promise<ConfigError> {
  const error = await load(text).catch((reason: unknown) => reason)
  expect(error, text).toBeInstanceOf(ConfigError)
  return error as ConfigError
}

/** A webhook of three settings, with others added or put in their place. */
function webhookWith(settings: string): string {
  const [key = ''] = settings.split(':')
  const defaults = ['name: ci', 'format: docker', 'url: "http://a.example"'].filter(
    (each) => !each.startsWith(`${key}:`)
  )
  return `webhooks:\n  - { ${[...defaults, settings].filter(Boolean).join(', ')} }`
}

it('reads webhooks, with what each leaves out', async () => {
  const { config, warnings } = await load('webhooks: [{ name: ci, url: "https://hooks.example/a?b", secretFile: s }]')
  expect(config.webhooks).toEqual([
    {
      name: 'ci',
      url: 'https://hooks.example/a?b',
      format: 'cloudevents',
      secretFile: `${process.cwd()}/s`,
      events: ['*.pushed', '*.mounted', '*.deleted', 'tag.*', 'image.*', 'peer.*'],
      ignoreMediaTypes: [],
      allowPrivateAddresses: false,
      timeoutMs: 10_000,
      maxAttempts: 20
    }
  ])
  expect(warnings).toEqual([])
})

it('warns of what can be read on its way', async () => {
  expect((await load(webhookWith(''))).warnings).toEqual([expect.stringContaining('can be read on its way')])
})

it.each([
  'url: "ftp://a"',
  'url: "http://user:pass@a"',
  'url: "http://a#b"',
  'events: [tag.renamed]',
  'events: []',
  'repositories: []',
  'name: A_B',
  'timeout: 0s',
  'maxAttempts: 0',
  'format: slack'
])('refuses %s', async (settings) => {
  expect(await failure(webhookWith(settings))).toMatchObject({ code: 'INVALID_VALUE', line: 3 })
})

it('refuses events that nobody could check, and two webhooks of one name', async () => {
  const unsigned = await failure('webhooks:\n  - { name: ci, url: "https://a.example" }')
  expect(unsigned).toMatchObject({ code: 'INVALID_VALUE', key: 'webhooks[0].secretFile', line: 3 })
  const twice = await failure(`${webhookWith('')}\n  - { name: ci, format: docker, url: "http://b.example" }`)
  expect(twice).toMatchObject({ code: 'INVALID_VALUE', key: 'webhooks[1].name', line: 4 })
})
