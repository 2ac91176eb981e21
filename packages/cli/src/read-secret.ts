import { createInterface } from 'node:readline'
import { type Readable, Writable } from 'node:stream'
import { CliFailure } from './failure.ts'

const MAX_LENGTH = 4_096

/** Reads one line that nobody should see. What is typed at a terminal does not show. */
export async function readSecret(
  input: Readable & { readonly isTTY?: boolean },
  prompt: string,
  show: (text: string) => void
): Promise<string> {
  return input.isTTY === true ? await readTyped(input, prompt, show) : await readPiped(input)
}

/** With a terminal that echoes to nowhere, keys such as backspace do what they should. */
function readTyped(input: Readable, prompt: string, show: (text: string) => void): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input, output: nowhere, terminal: true })
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  show(prompt)
  lines.once('line', resolve)
  lines.once('close', () => reject(new CliFailure('FAILED', 'nothing was typed')))
  lines.once('SIGINT', () => lines.close())
  return promise.finally(() => {
    lines.close()
    show('\n')
  })
}

/** The first line, or all of it when there is none other. */
async function readPiped(input: Readable): Promise<string> {
  let text = ''
  for await (const chunk of input.setEncoding('utf8')) {
    text += chunk
    if (text.includes('\n') || text.length > MAX_LENGTH) break
  }
  return text.split(/\r?\n/, 1)[0] ?? ''
}
