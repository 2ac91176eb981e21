const STATUS = Object.freeze({
  PEER_TRUSTED: 409,
  NOT_REVOKED: 404,
  KEY_EXISTS: 409,
  KEY_UNKNOWN: 404,
  ROSTER_FULL: 409,
  ROSTER_REFUSED: 503,
  NOT_A_SEED: 409,
  TICKETS_FULL: 409,
  TICKETS_UNREADABLE: 500
})

/** A change of who may take part that is refused. */
export class RosterError extends Error {
  override readonly name = 'RosterError'
  readonly code: keyof typeof STATUS

  constructor(code: keyof typeof STATUS, message: string, options: { cause?: unknown } = {}) {
    super(message, options)
    this.code = code
  }

  /** Of the admin API's answer. */
  get status(): number {
    return STATUS[this.code]
  }
}
