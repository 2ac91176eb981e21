import { expect, it } from 'vitest'
import { formatPlatform, isPlatform, parsePlatform } from './platform.ts'

it('reads platforms with and without a variant', () => {
  for (const text of ['linux/amd64', 'linux/arm/v7']) {
    const platform = parsePlatform(text)
    expect(platform && formatPlatform(platform)).toBe(text)
  }
  for (const text of ['', 'linux', 'linux/', 'Linux/amd64', 'linux/arm/v7/x', '../amd64', 'linux/amd64\n']) {
    expect(parsePlatform(text), text).toBeUndefined()
  }
})

it('tells variants apart only where one is wanted', () => {
  const told = { os: 'linux', architecture: 'arm', variant: 'v7' }
  expect(isPlatform(told, { os: 'linux', architecture: 'arm' })).toBe(true)
  expect(isPlatform(told, { os: 'linux', architecture: 'arm', variant: 'v6' })).toBe(false)
  expect(isPlatform(told, { os: 'linux', architecture: 'arm64' })).toBe(false)
  expect(isPlatform(undefined, { os: 'linux', architecture: 'arm' })).toBe(false)
})
