import { expect, it } from 'vitest'
import { ImagePattern } from './image-pattern.ts'

/* https://kubernetes.io/docs/reference/config-api/kubelet-config.v1/, `matchImages`, and what URLsMatch of the kubelet does. */

it.each([
  ['123456789.dkr.ecr.us-east-1.amazonaws.com', '123456789.dkr.ecr.us-east-1.amazonaws.com/app'],
  ['*.azurecr.io', 'mine.azurecr.io/a/b'],
  ['gcr.io', 'gcr.io/project/app'],
  ['*.*.registry.io', 'a.b.registry.io/app'],
  ['registry.io:8080/path', 'registry.io:8080/path/app'],
  ['registry.io:8080/path', 'registry.io:8080/pathology'],
  ['k8s.*.io', 'k8s.gcr.io/pause'],
  ['k8s.*', 'k8s.io/pause'],
  ['app*.k8s.io', 'app7.k8s.io/x'],
  ['app*.k8s.io', 'app.k8s.io/x'],
  ['docker.io', 'docker.io/library/nginx'],
  ['localhost:5000', 'localhost:5000/x']
])('%s fits %s', (pattern, image) => {
  expect(new ImagePattern(pattern).fits(image)).toBe(true)
})

it.each([
  ['*.io', 'a.k8s.io/x'],
  ['*.k8s.io', 'k8s.io/x'],
  ['gcr.io', 'gcr.io.evil.example/x'],
  ['gcr.io', 'gcrxio/x'],
  ['gcr.io', 'evil.example/gcr.io/x'],
  ['*.azurecr.io', 'a.azurecr.io:444/x'],
  ['registry.io:8080/path', 'registry.io/path/app'],
  ['registry.io:8080/path', 'registry.io:8080/other/path'],
  ['app*.k8s.io', 'happ.k8s.io/x']
])('%s does not fit %s', (pattern, image) => {
  expect(new ImagePattern(pattern).fits(image)).toBe(false)
})

it.each(['', 'https://gcr.io', 'gcr.io/*', 'gcr.io:*', 'a b', 'gcr.io?x', 'gcr.io#x', '[a-z].io'])(
  '%j is no pattern',
  (text) => {
    expect(() => new ImagePattern(text)).toThrow(TypeError)
  }
)

it('takes no long time for many globs', () => {
  const pattern = new ImagePattern(`${'*a'.repeat(60)}.io`)
  const startedAt = process.cpuUsage().user
  expect(pattern.fits(`${'a'.repeat(250)}b.io/x`)).toBe(false)
  expect(pattern.fits(`${'a'.repeat(250)}.io/x`)).toBe(true)
  expect(process.cpuUsage().user - startedAt).toBeLessThan(2_000_000)
})

it('needs as many characters as its globs leave', () => {
  expect(new ImagePattern('ab*ba.io').fits('aba.io/x')).toBe(false)
  expect(new ImagePattern('ab*ba.io').fits('abba.io/x')).toBe(true)
})
