import type { IncomingMessage, ServerResponse } from 'node:http'
import { json } from 'node:stream/consumers'
import { SECRET, serve } from './credential-fixture.ts'

/**
 * The API of ECR and of ECR Public as far as a pull needs it: JSON 1.1 by POST, one path, the action in a header, signed
 * by Signature Version 4. Sources:
 * https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html,
 * https://docs.aws.amazon.com/AmazonECRPublic/latest/APIReference/API_GetAuthorizationToken.html,
 * https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html
 */
export class FakeEcr {
  endpoint = ''
  password = 'password 1'
  /** In ms since 1970. */
  expiresAt = 0
  isPublic = false
  fails: { readonly status: number; readonly type: string } | undefined
  /** Action, and the scope of the credential that signed: `20261126/eu-west-1/ecr/aws4_request`. */
  readonly asked: { action: string; scope: string; body: unknown }[] = []

  static async start(): Promise<FakeEcr> {
    const ecr = new FakeEcr()
    ecr.endpoint = await serve((request, response) => void ecr.#answer(request, response))
    return ecr
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const signature = /^AWS4-HMAC-SHA256 Credential=[^/]+\/(\S+), SignedHeaders=\S+, Signature=[0-9a-f]{64}$/
    const [, scope] = signature.exec(request.headers.authorization ?? '') ?? []
    this.asked.push({
      action: String(request.headers['x-amz-target']),
      scope: scope ?? 'unsigned',
      body: await json(request)
    })
    response.setHeader('content-type', 'application/x-amz-json-1.1')
    if (this.fails !== undefined) {
      response
        .writeHead(this.fails.status)
        .end(JSON.stringify({ __type: this.fails.type, message: `${SECRET} may not` }))
      return
    }
    const data = {
      authorizationToken: Buffer.from(`AWS:${this.password}`).toString('base64'),
      expiresAt: this.expiresAt / 1_000,
      ...(this.isPublic ? {} : { proxyEndpoint: 'https://123456789012.dkr.ecr.eu-west-1.amazonaws.com' })
    }
    response.end(JSON.stringify({ authorizationData: this.isPublic ? data : [data] }))
  }
}
