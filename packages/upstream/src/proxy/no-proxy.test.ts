import { expect, it } from 'vitest'
import { NoProxy } from './no-proxy.ts'

it.each([
  ['*', 'https://quay.io'],
  ['quay.io', 'https://quay.io'],
  ['quay.io', 'https://cdn.quay.io'],
  ['Quay.IO', 'https://QUAY.io.'],
  ['.quay.io', 'https://cdn.quay.io'],
  ['*.quay.io', 'https://cdn.quay.io'],
  ['a, b quay.io', 'https://quay.io'],
  ['quay.io:443', 'https://quay.io'],
  ['quay.io:80', 'http://quay.io'],
  ['quay.io:5000', 'https://quay.io:5000'],
  ['.svc,.cluster.local', 'https://registry.team.svc'],
  ['10.1.2.3', 'https://10.1.2.3:5000'],
  ['10.1.2.3:5000', 'https://10.1.2.3:5000'],
  ['10.0.0.0/8', 'https://10.1.2.3'],
  ['10.0.0.0/8', 'https://[::ffff:10.1.2.3]'],
  ['fd00::/8', 'https://[fd12::1]:5000'],
  ['fd12::1', 'https://[fd12:0::1]'],
  ['[fd12::1]', 'https://[fd12::1]'],
  ['[fd12::1]:5000', 'https://[fd12::1]:5000']
])('%s covers %s', (text, url) => {
  expect(new NoProxy(text).covers(new URL(url))).toBe(true)
})

it.each([
  ['', 'https://quay.io'],
  ['io', 'https://quayio'],
  ['quay.io', 'https://notquay.io'],
  ['quay.io', 'https://quay.io.evil.example'],
  ['.quay.io', 'https://quay.io'],
  ['*.quay.io', 'https://quay.io'],
  ['quay.io:80', 'https://quay.io'],
  ['quay.io:443', 'https://quay.io:5000'],
  ['10.0.0.0/8', 'https://11.1.2.3'],
  ['10.0.0.0/8', 'https://10.example'],
  ['0.0.0.0/0', 'https://[2001:db8::1]'],
  ['10.1.2.3', 'https://110.1.2.3'],
  ['[fd12::1]:5000', 'https://[fd12::1]:5001'],
  ['10.0.0.0/99, 10.1.2.3/, [, :, ., *., /', 'https://10.1.2.3']
])('%j does not cover %s', (text, url) => {
  expect(new NoProxy(text).covers(new URL(url))).toBe(false)
})
