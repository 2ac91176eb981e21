import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fakeHost } from '../testing/fake-host.ts'
import { planContainerd } from './containerd.ts'
import { takeOut } from './contribution.ts'
import { TomlText } from './toml-text.ts'
import type { Wish } from './wish.ts'

const CONFIG = '/etc/containerd/config.toml'
const HOSTS = '/etc/containerd/certs.d/_default/hosts.toml'
const MIRROR = 'http://127.0.0.1:5000'

const blank = fc.constantFrom('', '  ', '\t')
const comment = fc.constantFrom('# a comment', '  # [host."not"]', '#', '# "quote')
const gap = fc.array(fc.oneof(blank, comment), { maxLength: 3 })
const ending = fc.constantFrom('\n', '\r\n')

/** A file of these parts in this order, with comments and blank lines of any kind between them. */
function fileOf(parts: fc.Arbitrary<readonly string[]>): fc.Arbitrary<string> {
  return fc
    .tuple(
      parts.chain((lines) => fc.tuple(...lines.map((line) => gap.map((before) => [...before, line])))),
      gap,
      ending,
      fc.boolean()
    )
    .map(([parts, last, end, ended]) => [...parts.flat(), ...last].join(end) + (ended ? end : ''))
}

const hostsToml = fileOf(
  fc
    .tuple(
      fc.subarray(['server = "https://up.example" # here', 'ca = """\n[host."no"]\n"""', 'header = { a = "b" }']),
      fc.subarray([
        '[host."http://a"]\n  capabilities = ["pull"] # [',
        "[host.'http://b']",
        '[host."http://c".header]\nx = [\n"y",\n]'
      ])
    )
    .map((parts) => parts.flat())
)

const configToml = fileOf(
  fc
    .tuple(
      fc.constantFrom('version = 2', 'version = 3 # three'),
      fc.subarray(['root = "/x"', 'oom_score = 0']),
      fc.subarray([
        '[grpc]\n  address = "/run/x.sock"',
        '[plugins]',
        "  [plugins.'a.b']\n    c = 1\n",
        '[[stream]]',
        '[[stream]]'
      ])
    )
    .map(([version, keys, tables]) => [version, ...keys, ...tables])
)

async function wishFor(files: Readonly<Record<string, string>>, path: string): Promise<Wish> {
  const options = { mirror: MIRROR, registries: [], tags: 'mesh', config: CONFIG, keepConfig: false } as const
  const wish = (await planContainerd(fakeHost(files), options)).wishes.find((one) => one.path === path)
  if (wish === undefined) throw new Error(`nothing is wanted of ${path}`)
  return wish
}

/** What is added to a file can be taken out again to the byte, be it alone there or with more behind it. */
async function expectRoundTrip(base: string, path: string): Promise<TomlText> {
  const { text, contribution } = (await wishFor({ [path]: base }, path)).apply(base) ?? {}
  if (text === undefined || contribution === undefined) throw new Error('nothing was added')
  expect(takeOut(text, contribution, path)).toBe(base)
  const more = '\n[added.by.its.owner]\na = 1\n'
  expect(takeOut(text + more, contribution, path)).toBe(base + more)
  return new TomlText(text, path)
}

test('hosts.toml of any form has the node first, and is as before when that is taken out', async () => {
  await fc.assert(
    fc.asyncProperty(hostsToml, async (base) => {
      const { value } = await expectRoundTrip(base, HOSTS)
      expect(Object.keys(value.host as object)[0]).toBe(MIRROR)
    })
  )
})

test('config.toml of any form has config_path, and is as before when that is taken out', async () => {
  await fc.assert(
    fc.asyncProperty(configToml, async (base) => {
      const file = await expectRoundTrip(base, CONFIG)
      const plugin = file.value.version === 2 ? 'io.containerd.grpc.v1.cri' : 'io.containerd.cri.v1.images'
      expect(file.get(['plugins', plugin, 'registry', 'config_path'])).toBe('/etc/containerd/certs.d')
    })
  )
})
