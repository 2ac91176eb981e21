/** Undefined for what is no JSON: the error of `JSON.parse` would quote it. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
