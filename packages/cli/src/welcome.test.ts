import { loadConfig } from '@layermesh/node'
import { expect, it } from 'vitest'
import { welcome } from './welcome.ts'

const SEED = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'
const NODE = '12D3KooWRYyjkWEcHE9vdtCPpnKNEBtNxYxXnEBmjmQBa1vSoSoG'

function info(peerId: string, meshAddresses: string[]) {
  return { pid: 1, peerId, registry: 'http://127.0.0.1:5000', admin: 'http://127.0.0.1:5001', meshAddresses }
}

it('tells how to push, pull and join on this host', async () => {
  const { config } = await loadConfig({ text: 'role: seed' })
  const text = welcome(info(SEED, [`/ip4/127.0.0.1/tcp/5002/p2p/${SEED}`]), config)
  expect(text).toContain('docker push localhost:5000/team/app:1')
  expect(text).toContain('docker pull localhost:5000/team/app:1')
  expect(text).toContain(`layermesh node --join /ip4/127.0.0.1/tcp/5002/p2p/${SEED} \\\n`)
  expect(text).toContain(`--trust ${SEED}`)
  expect(text).toContain('--listen 127.0.0.1:0')
  expect(text).toContain('--admin http://127.0.0.1:5001')
})

it('tells other hosts an address that they can reach, whom to trust and what they must know', async () => {
  const text = `mesh: { listen: [/ip4/0.0.0.0/tcp/5002], secretFile: s }\ntrust: [{ peerId: ${SEED} }]`
  const { config } = await loadConfig({ text })
  const addresses = [`/ip4/127.0.0.1/tcp/5002/p2p/${NODE}`, `/ip4/10.0.0.9/tcp/5002/p2p/${NODE}`]
  const told = welcome(info(NODE, addresses), config)
  expect(told).toContain(`--join /ip4/10.0.0.9/tcp/5002/p2p/${NODE} `)
  expect(told).toContain(`--trust ${SEED}`)
  expect(told).toContain('--secret-file FILE')
  expect(told).not.toContain('127.0.0.1:0')
})

it('names the registry as clients know it, and tells them to log in where there are rights', async () => {
  const text = 'role: seed\nregistry: { publicUrl: https://registry.example }\naccess: { rules: [] }'
  const { config } = await loadConfig({ text })
  const told = welcome(info(SEED, []), config)
  expect(told).toContain('docker login registry.example\n')
  expect(told).toContain('docker push registry.example/team/app:1')
  const open = await loadConfig({ text: 'role: seed' })
  expect(welcome(info(SEED, []), open.config)).not.toContain('login')
})
