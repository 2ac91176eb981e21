/**
 * The items of `items` until it ends or `signal` aborts, which throws its reason. A source that does not react to being
 * left is not waited for.
 */
export async function* untilAborted<Item>(
  items: AsyncIterable<Item>,
  signal: AbortSignal | undefined
): AsyncGenerator<Item> {
  const iterator = items[Symbol.asyncIterator]()
  let stopWaiting: (reason: unknown) => void = () => {}
  let open = true
  const next = () =>
    new Promise<IteratorResult<Item>>((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      stopWaiting = reject
      iterator.next().then(resolve, (error) => {
        open = false
        reject(error)
      })
    })
  const onAbort = () => stopWaiting(signal?.reason)
  signal?.addEventListener('abort', onAbort)
  try {
    for (let item = await next(); !item.done; item = await next()) yield item.value
    open = false
  } finally {
    signal?.removeEventListener('abort', onAbort)
    if (open) iterator.return?.()?.then(undefined, () => {})
  }
}
