import { expect, test } from 'vitest'
import { majorOf } from './facts.ts'
import { mirrorOfNode, readMirror, readRegistry } from './mirror.ts'

test('a mirror is scheme, host and port', () => {
  expect(readMirror('http://127.0.0.1:5000')).toBe('http://127.0.0.1:5000')
  expect(readMirror('https://mesh.example/')).toBe('https://mesh.example')
  for (const wrong of ['127.0.0.1:5000', 'ftp://a', 'http://a/v2', 'http://u:p@a', 'http://a?b', 'http://a#b', '']) {
    expect(() => readMirror(wrong), wrong).toThrow(/is no http:\/\/HOST:PORT/)
  }
})

test('a password in a mirror is not told again', () => {
  expect(() => readMirror('http://user:pass@word@host:5000')).toThrow(/^--mirror …@host:5000 is no http/)
})

test('a registry is what stands first in the names of its images', () => {
  expect(readRegistry('reg.example:5000')).toBe('reg.example:5000')
  expect(readRegistry('registry-1.docker.io')).toBe('docker.io')
  for (const wrong of ['https://docker.io', 'docker.io/library', '..', '', 'a:b', '_default']) {
    expect(() => readRegistry(wrong), wrong).toThrow(/is no host/)
  }
})

test('a node that runs is where clients of its host reach it', () => {
  const node = { pid: 1, registry: 'http://0.0.0.0:7000' }
  expect(mirrorOfNode(node, () => true)).toBe('http://127.0.0.1:7000')
  expect(mirrorOfNode({ ...node, mirror: 'http://127.0.0.1:7010' }, () => true)).toBe('http://127.0.0.1:7010')
  expect(mirrorOfNode(node, () => false)).toBeUndefined()
})

test('versions of containerd are read as it prints them', () => {
  expect(majorOf('containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3')).toBe(1)
  expect(
    majorOf('containerd github.com/containerd/containerd/v2 v2.1.4 75cb2b7193e4e490e9fbdc236c0e811ccaba3376')
  ).toBe(2)
  expect(majorOf('containerd')).toBeUndefined()
})
