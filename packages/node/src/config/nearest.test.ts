import { expect, it } from 'vitest'
import { nearest } from './nearest.ts'

it('finds the word that was meant', () => {
  const known = ['listen', 'announce', 'join', 'secretFile', 'maxPeers']
  expect(nearest('lisen', known)).toBe('listen')
  expect(nearest('jion', known)).toBe('join')
  expect(nearest('secretfile', known)).toBe('secretFile')
  expect(nearest('maxPeer', known)).toBe('maxPeers')
})

it('suggests nothing when nothing is near', () => {
  expect(nearest('colour', ['listen', 'join'])).toBeUndefined()
  expect(nearest('x', [])).toBeUndefined()
  expect(nearest('ab', ['cd'])).toBeUndefined()
})

it('takes the nearest of several', () => {
  expect(nearest('zones', ['stones', 'zone'])).toBe('zone')
})
