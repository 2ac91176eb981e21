/** What a JSON Web Token says, unchecked. */
export function decodeJwt(token: string | undefined): unknown {
  return JSON.parse(Buffer.from(token?.split('.')[1] ?? '', 'base64url').toString('utf8'))
}
