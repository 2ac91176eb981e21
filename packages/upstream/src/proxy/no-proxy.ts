import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { ProxyTarget } from './proxy.ts'

type Rule = (host: string, port: string) => boolean

const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' }

const WITH_PORT = /^(\[[^\]]*\]|[^:]*):([0-9]+)$/

/**
 * What `NO_PROXY` names, as Go's programs read it, container clients among them (golang.org/x/net/http/httpproxy): `*`;
 * a name, which stands for all below it too; `.name` for those below it only; an address; a block of addresses in CIDR
 * notation; names and addresses also with a port.
 * Names are not resolved, so that addresses fit URLs with an address only. What can not be read names nothing.
 */
export class NoProxy {
  readonly #rules: readonly Rule[]

  constructor(text: string) {
    this.#rules = text
      .split(/[,\s]+/)
      .filter((entry) => entry !== '')
      .map((entry) => ruleOf(entry.toLowerCase()))
  }

  covers({ protocol, hostname, port }: ProxyTarget): boolean {
    const host = bare(hostname.toLowerCase())
    const portOrDefault = port === '' ? (DEFAULT_PORTS[protocol] ?? '') : port
    return this.#rules.some((fits) => fits(host, portOrDefault))
  }
}

function ruleOf(entry: string): Rule {
  if (entry === '*') return () => true
  if (ipaddr.isValidCIDR(entry)) return inBlock(entry)
  // The colons of an IPv6 address are no sign of a port.
  const [, name = entry, wantedPort] = isIP(entry) === 0 ? (WITH_PORT.exec(entry) ?? []) : []
  const host = bare(name)
  const fits = isIP(host) === 0 ? named(host) : isAddress(host)
  return (asked, port) => (wantedPort === undefined || wantedPort === port) && fits(asked)
}

function inBlock(entry: string): Rule {
  const [network, bits] = ipaddr.parseCIDR(entry)
  return (host) => {
    if (isIP(host) === 0) return false
    const address = ipaddr.process(host)
    return address.kind() === network.kind() && address.match(network, bits)
  }
}

function isAddress(text: string): (host: string) => boolean {
  const wanted = ipaddr.process(text).toString()
  return (host) => isIP(host) !== 0 && ipaddr.process(host).toString() === wanted
}

function named(text: string): (host: string) => boolean {
  const onlyBelow = /^\*?\./.test(text)
  const name = text.replace(/^\*?\./, '')
  if (name === '') return () => false
  return (host) => (!onlyBelow && host === name) || host.endsWith(`.${name}`)
}

/** Without the brackets of an IPv6 address, and without the dot that ends a full name. */
function bare(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1').replace(/(?<=.)\.$/, '')
}
