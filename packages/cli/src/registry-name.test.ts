import { expect, it } from 'vitest'
import { withoutRegistry } from './registry-name.ts'

it('takes the node’s own registry off a name, however loopback is spelt', () => {
  for (const host of ['localhost:5000', '127.0.0.1:5000', '[::1]:5000', 'LocalHost:5000']) {
    expect(withoutRegistry(`${host}/team/app:1`, 'http://127.0.0.1:5000'), host).toBe('team/app:1')
  }
  expect(withoutRegistry('10.0.0.1:5000/app', 'http://10.0.0.1:5000')).toBe('app')
})

it('leaves other hosts and plain names alone', () => {
  for (const name of ['localhost:5001/app', 'docker.io/library/nginx', 'team/app:1', 'app', '10.0.0.1:5000/app']) {
    expect(withoutRegistry(name, 'http://127.0.0.1:5000'), name).toBe(name)
  }
})
