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
  /** Blobs that come at one time. */
  readonly maxBlobs: number
  /** Other requests at one time. */
  readonly maxRequests: number
  /** How long what can't be reached is left alone, doubled with each probe that fails. */
  readonly unreachablePauseMs: number
  readonly maxUnreachablePauseMs: number
  /** How long a registry that answers 429 is left alone when it does not say for how long. */
  readonly rateLimitPauseMs: number
  /** The most that it can ask for. */
  readonly maxRateLimitPauseMs: number
  /** Before each attempt to go on with a blob that broke off. */
  readonly resumeDelaysMs: readonly number[]
  /** After that time the connection of a blob that nobody reads is let go of, to be resumed when somebody does. */
  readonly unclaimedMs: number
}

export const DEFAULT_LIMITS: UpstreamLimits = Object.freeze({
  connectTimeoutMs: 2_000,
  headersTimeoutMs: 10_000,
  silenceTimeoutMs: 15_000,
  answerTimeoutMs: 20_000,
  bodyTimeoutMs: 25_000,
  tokenTimeoutMs: 10_000,
  maxBlobs: 64,
  maxRequests: 32,
  unreachablePauseMs: 10_000,
  maxUnreachablePauseMs: 120_000,
  rateLimitPauseMs: 60_000,
  maxRateLimitPauseMs: 900_000,
  resumeDelaysMs: [0, 250, 1_000, 3_000, 6_000],
  unclaimedMs: 10_000
})
