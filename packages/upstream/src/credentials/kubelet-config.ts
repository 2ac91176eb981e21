import { z } from 'zod'
import { ImagePattern } from './image-pattern.ts'

/** Longest that a plugin's answer is kept when it says so itself. */
const MAX_DURATION_MS = 24 * 3_600_000
const UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000
}
const MAX_PLUGINS = 50

const imagePattern = z.string().transform((text, context) => {
  try {
    return new ImagePattern(text)
  } catch {
    context.addIssue({
      code: 'custom',
      message: 'expected a registry with an optional port and path, such as *.example.com'
    })
    return z.NEVER
  }
})

/** A duration as Go writes it, such as `1h30m`. */
export const goDuration = z.string().transform((text, context) => {
  const ms = parseGoDuration(text)
  if (ms !== undefined) return ms
  context.addIssue({ code: 'custom', message: 'expected a duration such as 12h or 1h30m' })
  return z.NEVER
})

const pluginSchema = z.looseObject({
  name: z
    .string()
    .regex(/^(?!\.{1,2}$)[^/\\\s\0]{1,255}$/, { error: 'expected the name of a program in the directory' }),
  matchImages: z.array(imagePattern).min(1),
  defaultCacheDuration: goDuration,
  apiVersion: z.string().regex(/^credentialprovider\.kubelet\.k8s\.io\/v1(alpha1|beta1)?$/, {
    error: 'expected credentialprovider.kubelet.k8s.io/v1'
  }),
  args: z.array(z.string()).nullish(),
  env: z.array(z.strictObject({ name: z.string().min(1), value: z.string() })).nullish(),
  tokenAttributes: z.looseObject({ requireServiceAccount: z.boolean() }).nullish()
})

const configSchema = z.looseObject({
  apiVersion: z
    .string()
    .regex(/^kubelet\.config\.k8s\.io\/v1(alpha1|beta1)?$/, { error: 'expected kubelet.config.k8s.io/v1' }),
  kind: z.literal('CredentialProviderConfig'),
  providers: z.array(pluginSchema).min(1).max(MAX_PLUGINS)
})

/** One plugin of a kubelet. */
export type KubeletPlugin = z.output<typeof pluginSchema>

/**
 * Reads a CredentialProviderConfig (https://kubernetes.io/docs/reference/config-api/kubelet-config.v1/), in YAML or JSON.
 * @throws {TypeError} which names the setting that is wrong, and shows no value: `env` may hold secrets
 */
export async function parseKubeletConfig(text: string): Promise<readonly KubeletPlugin[]> {
  const { parse } = await import('yaml')
  let given: unknown
  try {
    given = parse(text, { maxAliasCount: 0 })
  } catch {
    throw new TypeError('is no YAML')
  }
  const { data, error } = configSchema.safeParse(given)
  if (data === undefined) {
    const [issue] = error.issues
    throw new TypeError(`is no CredentialProviderConfig: ${issue?.path.join('.')}: ${issue?.message}`)
  }
  const names = data.providers.map(({ name }) => name)
  if (new Set(names).size < names.length) throw new TypeError('names a provider twice')
  return data.providers
}

/** In ms; undefined for what is no duration. */
function parseGoDuration(text: string): number | undefined {
  if (text === '0') return 0
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined
  let ms = 0
  for (const [, number, unit = ''] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) {
    ms += Number(number) * (UNITS_MS[unit] ?? 0)
  }
  return Math.min(ms, MAX_DURATION_MS)
}
