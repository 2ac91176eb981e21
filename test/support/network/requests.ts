import * as http from '../http.ts'

/** An answer that can be sent between processes. */
export interface PlainAnswer extends Omit<http.Answer, 'headers'> {
  readonly headers: [string, string][]
}

export async function request(url: string): Promise<PlainAnswer> {
  const { headers, ...answer } = await http.request(url)
  return { ...answer, headers: [...headers] }
}
