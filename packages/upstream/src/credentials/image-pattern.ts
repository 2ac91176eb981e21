/**
 * Which images a kubelet's credentials are for: a registry with an optional port and path, whose domain may hold globs
 * (https://kubernetes.io/docs/reference/config-api/kubelet-config.v1/, `matchImages`). It fits an image when both have
 * the same port and the same number of domain parts, each of which fits, and its path is a prefix of the image's path.
 */
export class ImagePattern {
  readonly text: string
  readonly #parts: readonly string[]
  readonly #port: string
  readonly #path: string

  /** @throws {TypeError} */
  constructor(text: string) {
    const split = splitImage(text)
    if (split === undefined)
      throw new TypeError(`${text} is no registry with an optional port and path, such as *.example.com`)
    this.text = text
    this.#parts = split.domain.split('.')
    this.#port = split.port
    this.#path = split.path
  }

  /** @param image registry and repository, such as `docker.io/library/nginx` */
  fits(image: string): boolean {
    const split = splitImage(image)
    if (split === undefined || split.port !== this.#port || !split.path.startsWith(this.#path)) return false
    const parts = split.domain.split('.')
    return parts.length === this.#parts.length && this.#parts.every((glob, index) => fitsGlob(glob, parts[index] ?? ''))
  }
}

function splitImage(image: string): { domain: string; port: string; path: string } | undefined {
  const [, domain, port = '', path = ''] = /^([\w.*-]+)(?::(\d+))?(\/[^*?#]*)?$/.exec(image) ?? []
  return domain === undefined ? undefined : { domain, port, path }
}

/** Finds each text between globs as early as it can, which takes no second look. */
function fitsGlob(glob: string, text: string): boolean {
  const [first = '', ...rest] = glob.split('*')
  const last = rest.pop()
  if (last === undefined) return text === glob
  if (!text.startsWith(first)) return false
  let at = first.length
  for (const between of rest) {
    const found = text.indexOf(between, at)
    if (found < 0) return false
    at = found + between.length
  }
  return text.length - at >= last.length && text.endsWith(last)
}
