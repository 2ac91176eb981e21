import { expect, it } from 'vitest'
import { chooseProxy, type ProxySources } from './choose-proxy.ts'

const SECRET = 'hunter2-s3cr3t'

function originFor(url: string, sources: Partial<ProxySources> & { env?: Record<string, string> }) {
  return chooseProxy({ env: {}, ...sources })(new URL(url))?.origin
}

it('asks nothing by a proxy when nobody names one', () => {
  expect(originFor('https://quay.io', {})).toBeUndefined()
  expect(originFor('https://quay.io', { env: { HTTPS_PROXY: '', https_proxy: '' } })).toBeUndefined()
})

it.each([
  ['https://quay.io', { HTTPS_PROXY: 'http://s:1', HTTP_PROXY: 'http://p:1' }, 'http://s:1'],
  ['http://quay.io', { HTTPS_PROXY: 'http://s:1', HTTP_PROXY: 'http://p:1' }, 'http://p:1'],
  ['https://quay.io', { https_proxy: 'http://s:1' }, 'http://s:1'],
  ['http://quay.io', { http_proxy: 'http://p:1' }, 'http://p:1'],
  ['https://quay.io', { HTTPS_PROXY: 'https://s' }, 'https://s'],
  ['https://quay.io', { HTTPS_PROXY: 's.example:3128' }, 'http://s.example:3128'],
  ['https://quay.io', { HTTPS_PROXY: '[::1]:3128' }, 'http://[::1]:3128'],
  ['https://quay.io', { HTTP_PROXY: 'http://p:1' }, undefined],
  ['https://quay.io', { ALL_PROXY: 'http://p:1' }, undefined]
])('asks %s with the environment %j by %s', (url, env, expected) => {
  expect(originFor(url, { env })).toBe(expected)
})

it('has settings count before the environment, and a registry before all registries', () => {
  const env = { HTTPS_PROXY: 'http://env:1', NO_PROXY: 'quay.io' }
  expect(originFor('https://ghcr.io', { env, common: 'http://all:1' })).toBe('http://all:1')
  expect(originFor('http://ghcr.io', { env, common: 'http://all:1' })).toBe('http://all:1')
  expect(originFor('https://ghcr.io', { env, common: 'none' })).toBeUndefined()
  expect(originFor('https://quay.io', { env, common: 'http://all:1' })).toBeUndefined()
  expect(originFor('https://quay.io', { env, common: 'http://all:1', own: 'http://own:1' })).toBe('http://own:1')
  expect(originFor('https://ghcr.io', { env, common: 'http://all:1', own: 'none' })).toBeUndefined()
})

it.each([
  'http://127.0.0.1:5000',
  'https://localhost',
  'https://registry.localhost',
  'http://[::1]:5000',
  'http://169.254.169.254/latest/meta-data',
  'http://[fd00:ec2::254]/latest/meta-data'
])('asks %s by no proxy, whoever names one', (url) => {
  const sources = { common: 'http://all:1', env: { HTTPS_PROXY: 'http://s:1', HTTP_PROXY: 'http://p:1' } }
  expect(originFor(url, { env: sources.env })).toBeUndefined()
  expect(originFor(url, sources)).toBeUndefined()
  expect(originFor(url, { ...sources, own: 'http://own:1' })).toBeUndefined()
})

it('keeps a user and a password out of the origin', () => {
  const choice = chooseProxy({ env: { HTTPS_PROXY: `http://user:${SECRET}%40@proxy.example:3128` } })
  expect(choice(new URL('https://quay.io'))).toEqual({
    origin: 'http://proxy.example:3128',
    authorization: `Basic ${Buffer.from(`user:${SECRET}@`).toString('base64')}`
  })
})

it.each([
  [
    { env: { HTTPS_PROXY: `socks5://user:${SECRET}@proxy:1080` } },
    /^HTTPS_PROXY of the environment names no HTTP proxy/
  ],
  [{ env: { http_proxy: `http://user:${SECRET}@proxy/path` } }, /^HTTP_PROXY of the environment/],
  [{ env: { http_proxy: `http://user:${SECRET}%@proxy` } }, /expected http:\/\/HOST:PORT/],
  [{ env: {}, common: `http://${SECRET} :1` }, /^upstreams\.proxy names no HTTP proxy/],
  [{ env: {}, own: `ftp://${SECRET}` }, /^the registry's proxy names no HTTP proxy/]
])('refuses %# and does not show it', (sources, message) => {
  expect(() => chooseProxy(sources)).toThrow(message)
  expect(() => chooseProxy(sources)).not.toThrow(SECRET)
})
