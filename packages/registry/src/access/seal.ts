import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'

const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const MAC_BYTES = 16
const MAC = /^[0-9a-f]{32}$/

/** Makes what clients are given to bring back unguessable or unreadable. */
export class Seal {
  readonly #macKey: Uint8Array
  readonly #cipherKey: Uint8Array

  /** @param key of high entropy; the same one gives what an earlier process gave its meaning */
  constructor(key: Uint8Array) {
    this.#macKey = derived(key, 'mac')
    this.#cipherKey = derived(key, 'cipher')
  }

  /** 128 bits in hexadecimal that nobody else can tell for these values. */
  mac(...values: readonly (string | null)[]): string {
    return this.#mac(values).toString('hex')
  }

  isMac(text: string, ...values: readonly (string | null)[]): boolean {
    return MAC.test(text) && timingSafeEqual(Buffer.from(text, 'hex'), this.#mac(values))
  }

  /** Encrypts a text (AES-256-GCM) as base64url. */
  hide(text: string): string {
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#cipherKey, nonce, { authTagLength: TAG_BYTES })
    const hidden = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
    return Buffer.concat([nonce, hidden, cipher.getAuthTag()]).toString('base64url')
  }

  /** Undoes {@link hide}; undefined for what it never gave. */
  reveal(hidden: string): string | undefined {
    const bytes = Buffer.from(hidden, 'base64url')
    if (bytes.length < NONCE_BYTES + TAG_BYTES) return undefined
    const nonce = bytes.subarray(0, NONCE_BYTES)
    const decipher = createDecipheriv('aes-256-gcm', this.#cipherKey, nonce, { authTagLength: TAG_BYTES })
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
    try {
      const text = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES))
      return Buffer.concat([text, decipher.final()]).toString('utf8')
    } catch {
      return undefined
    }
  }

  #mac(values: readonly (string | null)[]): Buffer {
    return createHmac('sha256', this.#macKey).update(JSON.stringify(values)).digest().subarray(0, MAC_BYTES)
  }
}

function derived(key: Uint8Array, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, '', `layermesh registry ${purpose}`, KEY_BYTES))
}
