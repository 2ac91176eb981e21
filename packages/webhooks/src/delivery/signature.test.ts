import fc from 'fast-check'
import { Webhook } from 'standardwebhooks'
import { expect, it } from 'vitest'
import { parseSecrets } from '../files/secrets.ts'
import { signatureHeaders } from './signature.ts'

it('signs as the example of Standard Webhooks', () => {
  const secrets = parseSecrets('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')
  const message = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', body: '{"test": 2432232314}' }
  expect(signatureHeaders(message, secrets, 1_614_265_330_999)).toEqual({
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
  })
})

it('passes the check of another implementation, whatever the message and whichever of the secrets it holds', () => {
  const secret = fc.uint8Array({ minLength: 24, maxLength: 64 })
  fc.assert(
    fc.property(fc.array(secret, { minLength: 1, maxLength: 4 }), fc.ulid(), fc.json(), (secrets, id, body) => {
      const lines = secrets.map((bytes) => `whsec_${Buffer.from(bytes).toString('base64')}`)
      const headers = signatureHeaders({ id, body }, parseSecrets(lines.join('\n')), Date.now())
      for (const line of lines) expect(new Webhook(line).verify(body, { ...headers })).toEqual(JSON.parse(body))
      const forged = { ...headers, 'webhook-id': `${id}0` }
      expect(() => new Webhook(lines[0] ?? '').verify(body, forged)).toThrow()
    })
  )
})

it('sends no signature without a secret', () => {
  expect(signatureHeaders({ id: 'a', body: '' }, [], 1_000)).not.toHaveProperty('webhook-signature')
})
