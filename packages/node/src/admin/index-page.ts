import type { AdminAction } from './action.ts'
import type { StreamedAction } from './streamed-action.ts'

/** What there is at the admin listener, a line each: method and path, then what it tells. */
const ENTRIES: readonly Entry[] = [
  ['GET', '/livez', 'whether the process runs'],
  ['GET', '/readyz', 'whether clients can be served'],
  ['GET', '/metrics', 'metrics for Prometheus'],
  ['GET', '/api/v1/status', 'what this node is and holds'],
  ['GET', '/api/v1/peers', 'the peers that are connected'],
  ['GET', '/api/v1/images', 'the tags that this node has a signed record of'],
  ['GET', '/api/v1/transfers', 'the blobs that are arriving'],
  ['POST', '/api/v1/pull', 'brings an image into this node: {"reference": "team/app:1"}'],
  ['GET', '/api/v1/openapi.json', 'the description of this API']
]

type Entry = readonly [method: string, path: string, what: string]

/** What the index tells of an action; a streamed one is asked by `POST`. */
type IndexedAction = Pick<StreamedAction, 'path' | 'summary'> & Partial<Pick<AdminAction, 'method'>>

/** The page for terminals. */
export function indexText(version: string, actions: readonly IndexedAction[]): string {
  const entries = [...ENTRIES, ...actions.map(entryOf)]
  const methodWidth = Math.max(...entries.map(([method]) => method.length))
  const pathWidth = Math.max(...entries.map(([, path]) => path.length))
  const lines = entries.map(
    ([method, path, what]) => `${method.padEnd(methodWidth)} ${path.padEnd(pathWidth)}  ${what}\n`
  )
  return `layermesh ${version}\n\n${lines.join('')}`
}

/** The page for browsers; it loads nothing else. */
export function indexHtml(version: string, actions: readonly IndexedAction[]): string {
  const free = new Set(ENTRIES)
  const rows = [...ENTRIES, ...actions.map(entryOf)].map((entry) => {
    const [method, path, what] = entry
    const name = free.has(entry) && method === 'GET' ? `<a href="${path}">${path}</a>` : path
    return `<tr><td>${method}<td>${name}<td>${what}`
  })
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>layermesh</title><h1>layermesh ${version}</h1><table>${rows.join('\n')}</table></html>\n`
}

function entryOf({ method = 'POST', path, summary }: IndexedAction): Entry {
  return [method, `/api/v1/${path}`, `${summary} (needs the admin token)`]
}
