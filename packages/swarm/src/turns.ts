/**
 * Whom a node tells first of a piece that it brought into the mesh. Told all at once, they would all ask for it, and
 * whoever hears of it a moment before the others would get each piece, and have to pass all of the blob on alone. So
 * peers take turns: whoever was first longest ago comes next, and one that is new before all others.
 */
export class Turns {
  readonly #last = new Map<string, number>()
  #turn = 0

  /** The peer whose turn it is; undefined when there is none. */
  next(peers: Iterable<string>): string | undefined {
    let chosen: string | undefined
    let earliest = Number.POSITIVE_INFINITY
    for (const peer of peers) {
      const last = this.#last.get(peer) ?? 0
      if (last >= earliest) continue
      chosen = peer
      earliest = last
    }
    if (chosen !== undefined) this.#last.set(chosen, ++this.#turn)
    return chosen
  }

  /** A peer is gone. */
  forget(peer: string): void {
    this.#last.delete(peer)
  }
}
