import { parentPort } from 'node:worker_threads'
import bcrypt from 'bcryptjs'

/** A password and the hash that it may fit. */
export interface BcryptJob {
  readonly id: number
  readonly password: string
  readonly hash: string
}

export interface BcryptReply {
  readonly id: number
  readonly fits: boolean
}

parentPort?.on('message', ({ id, password, hash }: BcryptJob) => {
  const reply: BcryptReply = { id, fits: bcrypt.compareSync(password, hash) }
  parentPort?.postMessage(reply)
})
