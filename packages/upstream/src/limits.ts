/** How long a registry is waited for, and how much is asked of it at one time. */
export interface UpstreamLimits {
  /** For name resolution, connection and TLS together. */
  readonly connectTimeoutMs: number
  /** From one request to the head of its answer. */
  readonly headersTimeoutMs: number
  /** The longest silence in a body, while it is being read. */
  readonly silenceTimeoutMs: number
  /** From a request to the head of the last answer: waiting, tokens and redirects together. */
  readonly answerTimeoutMs: number
  /** The same, and the whole body of a manifest or a list. */
  readonly bodyTimeoutMs: number
  /** For fetching one token. */
  readonly tokenTimeoutMs: number
  /** Requests at one time, blobs among them, as long as they come. */
  readonly maxRequests: number
  /** To one origin at one time. */
  readonly maxConnections: number
}

export const DEFAULT_LIMITS: UpstreamLimits = Object.freeze({
  connectTimeoutMs: 2_000,
  headersTimeoutMs: 10_000,
  silenceTimeoutMs: 15_000,
  answerTimeoutMs: 20_000,
  bodyTimeoutMs: 25_000,
  tokenTimeoutMs: 10_000,
  maxRequests: 64,
  maxConnections: 64
})
