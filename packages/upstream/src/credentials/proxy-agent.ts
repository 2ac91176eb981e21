import { type ClientRequest, globalAgent, type Agent as HttpAgent } from 'node:http'
import { globalAgent as globalHttpsAgent } from 'node:https'
import { Agent, type AgentConnectOpts } from 'agent-base'
import { HttpsProxyAgent } from 'https-proxy-agent'
import type { ProxyChoice } from '../proxy/proxy.ts'

/** An agent for clients of clouds, which has each host asked by its proxy, by CONNECT, or directly. */
export class ChosenProxyAgent extends Agent {
  readonly #proxyFor: ProxyChoice

  constructor(proxyFor: ProxyChoice) {
    super()
    this.#proxyFor = proxyFor
  }

  override connect(_request: ClientRequest, options: AgentConnectOpts): HttpAgent {
    const protocol = options.secureEndpoint ? 'https:' : 'http:'
    const proxy = this.#proxyFor({ protocol, hostname: options.host ?? 'localhost', port: String(options.port ?? '') })
    if (proxy === undefined) return options.secureEndpoint ? globalHttpsAgent : globalAgent
    const headers = proxy.authorization === undefined ? {} : { 'proxy-authorization': proxy.authorization }
    return new HttpsProxyAgent(proxy.origin, { headers })
  }
}
