/** Length of a SHA-256, in bytes. */
export const HASH_LENGTH = 32

/** Length of a MAC, in bytes. */
export const MAC_LENGTH = 16
