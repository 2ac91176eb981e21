import { parseImageReference } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { unknownImage } from './unknown-image.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`
const toldOf = (text: string) => unknownImage(parseImageReference(text))

it('tells how an image of another registry is named, where none was', () => {
  expect(toldOf('nginx:1').message).toBe(
    'no node knows nginx:1; an image of another registry is named with it, such as docker.io/nginx:1'
  )
})

it('tells which registry had no such image either', () => {
  const error = toldOf(`ghcr.io/org/app@${DIGEST}`)
  expect(error.code).toBe('MANIFEST_UNKNOWN')
  expect(error.message).toBe(`no node knows ghcr.io/org/app@${DIGEST}, and none could get it from ghcr.io`)
})
