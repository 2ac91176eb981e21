/** Where the credentials for one registry come from: exactly one of these. Paths are absolute. */
export type CredentialSettings =
  | PasswordFileSettings
  | { readonly dockerConfig: string }
  | { readonly helper: string }
  | { readonly kubelet: KubeletSettings }
  | { readonly ecr: EcrSettings }
  | { readonly google: GoogleSettings }
  | { readonly acr: AcrSettings }

/** A user name and a file with the password or token, as Docker Hub and GHCR want it. */
export interface PasswordFileSettings {
  readonly username: string
  readonly passwordFile: string
}

/** The plugins that a kubelet runs, as it is told of them by `--image-credential-provider-config` and `…-bin-dir`. */
export interface KubeletSettings {
  readonly config: string
  readonly binDir: string
}

/** Amazon ECR. Whatever is left out comes from the host's name, and from where AWS's clients usually look. */
export interface EcrSettings {
  /** @default what the host's name says; us-east-1 for public.ecr.aws */
  readonly region?: string
  /** Profile of AWS's configuration files. */
  readonly profile?: string
  /** Where the API is asked instead, such as a private endpoint. */
  readonly endpoint?: string
}

/** Google's Artifact Registry and Container Registry. Empty for what the environment has (application default credentials). */
export interface GoogleSettings {
  /** The key of a service account in JSON. */
  readonly keyFile?: string
  /** Shows the key itself rather than a token made with it: user `_json_key`. Only with `keyFile`. */
  readonly showKey?: boolean
  /** Where tokens for a key are asked instead, such as a private endpoint. @default https://oauth2.googleapis.com/token */
  readonly tokenEndpoint?: string
}

/**
 * Azure Container Registry. With `clientSecretFile` as that application, with a federated token (in the settings or by
 * the environment of AKS) as the workload that it is of, else by the managed identity of the machine.
 */
export interface AcrSettings {
  readonly tenantId?: string
  readonly clientId?: string
  readonly clientSecretFile?: string
  readonly federatedTokenFile?: string
  /** What the token is asked for. @default https://management.azure.com/ */
  readonly resource?: string
  /** Where applications and workloads get tokens. @default https://login.microsoftonline.com/ */
  readonly authority?: string
  /** Where the machine gets tokens. @default http://169.254.169.254/metadata/identity/oauth2/token */
  readonly identityEndpoint?: string
  /** Where the registry is asked, such as a private endpoint. @default https:// and the host */
  readonly endpoint?: string
}
