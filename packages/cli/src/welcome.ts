import { isLoopback, type NodeConfig, type NodeInfo, parseTcpMultiaddr } from '@layermesh/node'

/** Tells on the terminal of a node that has started how it is used, with its real addresses. */
export function welcome(info: NodeInfo, config: NodeConfig): string {
  const registry = registryName(config.registry.publicUrl ?? info.registry)
  const sections: [string, string[]][] = [
    ...(config.access === undefined ? [] : [['login', [`docker login ${registry}`]] satisfies [string, string[]]]),
    ['push', [`docker tag IMAGE ${registry}/team/app:1`, `docker push ${registry}/team/app:1`]],
    ['pull', [`docker pull ${registry}/team/app:1`]],
    ['join', joinLines(info, config)],
    ['look', [`layermesh status --admin ${info.admin}`, `${info.admin}/metrics`]],
    ['stop', ['Ctrl-C']]
  ]
  const lines = sections.flatMap(([title, commands]) =>
    commands.map((command, index) => `  ${(index === 0 ? title : '').padEnd(6)}${command}`)
  )
  return `\nThe ${config.role} ${info.peerId} is ready.\n\n${lines.join('\n')}\n\n`
}

/** How image names begin; Docker lets `localhost` be without TLS. */
function registryName(url: string): string {
  const { hostname, port } = new URL(url)
  const name = isLoopback(hostname.replace(/^\[|]$/g, '')) ? 'localhost' : hostname
  return port === '' ? name : `${name}:${port}`
}

/** A command for another node that joins this one: on this host when only this host can. */
function joinLines(info: NodeInfo, { role, trust, mesh }: NodeConfig): string[] {
  const outside = info.meshAddresses.filter((address) => !isLoopback(parseTcpMultiaddr(address)?.host ?? ''))
  const [address] = outside.length > 0 ? outside : info.meshAddresses
  if (address === undefined) return []
  const signers = role === 'seed' ? [info.peerId] : trust.map(({ peerId }) => peerId)
  const flags = [`--join ${address}`, ...signers.map((peerId) => `--trust ${peerId}`)]
  if (mesh.secretFile !== undefined) flags.push('--secret-file FILE')
  if (outside.length > 0) flags.push('--mesh /ip4/0.0.0.0/tcp/5002')
  else flags.push('--data ./node2 --listen 127.0.0.1:0 --admin 127.0.0.1:0 --mesh /ip4/127.0.0.1/tcp/0')
  const [first = '', ...rest] = flags
  return [`layermesh node ${first}`, ...rest.map((flag) => `    ${flag}`)].map((line, index, all) =>
    index < all.length - 1 ? `${line} \\` : line
  )
}
