/** What the name of an ECR registry says. */
export interface EcrHost {
  /** Whether it is public.ecr.aws, which has an API of its own. */
  readonly isPublic: boolean
  readonly region: string
  readonly useFips: boolean
}

/** Where the API of ECR Public is (https://docs.aws.amazon.com/AmazonECR/latest/public/public-registry-auth.html). */
const PUBLIC_REGION = 'us-east-1'
const PUBLIC_HOSTS = ['public.ecr.aws', 'ecr-public.aws.com']

/**
 * ACCOUNT.dkr.ecr.REGION.amazonaws.com, ACCOUNT.dkr-ecr.REGION.on.aws for both IP versions, with -fips, and the same in
 * AWS's other partitions (https://docs.aws.amazon.com/general/latest/gr/ecr.html).
 */
const PRIVATE =
  /^\d{12}\.dkr[.-]ecr(-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.(?:com(?:\.cn)?|eu)|on\.(?:aws|amazonwebservices\.(?:com\.cn|eu))|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)$/

/** Undefined for what is no registry of ECR. */
export function parseEcrHost(host: string): EcrHost | undefined {
  if (PUBLIC_HOSTS.includes(host)) return { isPublic: true, region: PUBLIC_REGION, useFips: false }
  const [, fips, region] = PRIVATE.exec(host) ?? []
  return region === undefined ? undefined : { isPublic: false, region, useFips: fips !== undefined }
}
