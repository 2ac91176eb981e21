import { z } from 'zod'
import { path, shaped } from './shapes.ts'

const HELPER_NAME = /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$/

const endpoint = shaped('an http: or https: URL without credentials', isEndpoint)
const word = shaped('a text that is not empty', (text) => text.trim() !== '')

/** Settings that each stand for a source of credentials; `username` brings its `passwordFile`. */
const SOURCES = ['username', 'dockerConfig', 'helper', 'kubelet', 'ecr', 'google', 'acr'] as const

/** How a registry is told who asks it. */
export const credentials = z
  .strictObject({
    username: word.optional().describe('User of the registry, with passwordFile.'),
    passwordFile: path.optional().describe('File with the password or access token of username.'),
    dockerConfig: path.optional().describe('A config.json as `docker login` writes it; its helpers are run.'),
    helper: shaped('the NAME of a program docker-credential-NAME', (text) => HELPER_NAME.test(text))
      .optional()
      .describe('A Docker credential helper: docker-credential-NAME.'),
    kubelet: z
      .strictObject({
        config: path.describe('The file of kubelet’s --image-credential-provider-config.'),
        binDir: path.describe('The directory of kubelet’s --image-credential-provider-bin-dir.')
      })
      .optional()
      .describe('The credential provider plugins of the kubelet.'),
    ecr: z
      .strictObject({
        region: word.optional().describe('Region of AWS; without it, the one in the registry’s name.'),
        profile: word.optional().describe('Profile of AWS’s configuration files.'),
        endpoint: endpoint.optional().describe('Where the API is asked instead, such as a private endpoint.')
      })
      .optional()
      .describe('AWS: ECR and ECR public, with the identity that the AWS SDK finds.'),
    google: z
      .strictObject({
        keyFile: path
          .optional()
          .describe('Key of a service account in JSON; without it, the identity that Google’s library finds.'),
        showKey: z
          .boolean()
          .optional()
          .describe('Shows the registry the key itself (user _json_key) rather than a token made with it.'),
        tokenEndpoint: endpoint.optional().describe('Where tokens for the key are asked instead.')
      })
      .refine(({ keyFile, showKey, tokenEndpoint }) => keyFile !== undefined || !(showKey || tokenEndpoint), {
        error: 'expected keyFile too, which showKey and tokenEndpoint are about'
      })
      .optional()
      .describe('Google: Artifact Registry and Container Registry.'),
    acr: z
      .strictObject({
        tenantId: word.optional().describe('Tenant of the application.'),
        clientId: word.optional().describe('The application, workload or managed identity.'),
        clientSecretFile: path.optional().describe('File with the secret of the application.'),
        federatedTokenFile: path.optional().describe('File with the token of a workload; without it, that of AKS.'),
        resource: endpoint.optional().describe('What the token is asked for.'),
        authority: endpoint.optional().describe('Where applications and workloads get tokens.'),
        identityEndpoint: endpoint.optional().describe('Where the machine gets tokens.'),
        endpoint: endpoint.optional().describe('Where the registry is asked, such as a private endpoint.')
      })
      .optional()
      .describe('Azure Container Registry, as an application, a workload, or the machine.')
  })
  .refine((given) => SOURCES.filter((source) => given[source] !== undefined).length === 1, {
    error: `expected exactly one of ${SOURCES.join(', ')}`
  })
  .refine(({ username, passwordFile }) => (username === undefined) === (passwordFile === undefined), {
    error: 'expected username and passwordFile together'
  })

function isEndpoint(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && /^https?:$/.test(url.protocol) && url.username + url.password === ''
}
