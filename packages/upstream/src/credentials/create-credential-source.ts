import type { CredentialSource } from '../interfaces.ts'
import type { CredentialComponents } from './components.ts'
import type { CredentialSettings } from './settings.ts'

/** Makes the source that the settings name. What it needs is loaded only here, and clients of clouds when it is first asked. */
export async function createCredentialSource(
  settings: CredentialSettings,
  components: CredentialComponents
): Promise<CredentialSource> {
  if ('username' in settings) {
    const { PasswordFileSource } = await import('./password-file.ts')
    return new PasswordFileSource(settings)
  }
  if ('dockerConfig' in settings) {
    const { DockerConfigSource } = await import('./docker-config.ts')
    return new DockerConfigSource(settings.dockerConfig, components)
  }
  if ('kubelet' in settings) {
    const { KubeletPluginSource } = await import('./kubelet-plugins.ts')
    return new KubeletPluginSource(settings.kubelet, components)
  }
  if ('google' in settings && settings.google.showKey === true && settings.google.keyFile !== undefined) {
    const { GoogleKeySource } = await import('./google.ts')
    return new GoogleKeySource(settings.google.keyFile)
  }
  const { CachedSource } = await import('./cached-source.ts')
  return new CachedSource(await createIssuer(settings, components), components)
}

async function createIssuer(
  settings: Exclude<CredentialSettings, { username: string } | { dockerConfig: string } | { kubelet: object }>,
  components: CredentialComponents
) {
  if ('helper' in settings) return new (await import('./docker-helper.ts')).DockerHelper(settings.helper, components)
  if ('ecr' in settings) return new (await import('./ecr.ts')).EcrIssuer(settings.ecr, components)
  if ('google' in settings) return new (await import('./google.ts')).GoogleIssuer(settings.google, components)
  return new (await import('./acr.ts')).AcrIssuer(settings.acr, components)
}
