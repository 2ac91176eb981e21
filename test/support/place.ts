import { type Answer, request } from './http.ts'

/** A command line. */
export type Command = readonly [command: string, args: readonly string[]]

/** Where processes run: this machine as it is, or a host of its own network. */
export interface Place {
  /** An IPv4 address of the place at which its processes may listen. */
  readonly address: string
  /** The command line that runs this one there. */
  command(command: string, args: readonly string[]): Command
  /** A GET request sent from there, so that it reaches what listens on the place's loopback. */
  request(url: string): Promise<Answer>
}

/** This machine, by its loopback. */
export const HERE: Place = Object.freeze({
  address: '127.0.0.1',
  command: (command: string, args: readonly string[]): Command => [command, args],
  request: (url: string) => request(url)
})
