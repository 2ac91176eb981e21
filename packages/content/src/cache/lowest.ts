/** Keeps the items that come first in an order, of all that are added, up to a bound; in memory of twice the bound. */
export class Lowest<Item> {
  readonly #compare: (a: Item, b: Item) => number
  readonly #max: number
  #items: Item[] = []
  #leftOut = false

  constructor(compare: (a: Item, b: Item) => number, max: number) {
    this.#compare = compare
    this.#max = max
  }

  add(item: Item): void {
    this.#items.push(item)
    if (this.#items.length >= 2 * this.#max) this.#cut()
  }

  /** What was kept, in order, and whether something was left out. */
  take(): { readonly items: readonly Item[]; readonly leftOut: boolean } {
    this.#cut()
    return { items: this.#items, leftOut: this.#leftOut }
  }

  #cut(): void {
    this.#items.sort(this.#compare)
    this.#leftOut ||= this.#items.length > this.#max
    this.#items = this.#items.slice(0, this.#max)
  }
}
