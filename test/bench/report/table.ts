const NUMERIC = /^[\d.,]+( \S+)?$/

/** A table for a terminal: columns as wide as their widest cell, numbers to the right. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const columns = head.map((title, index) => {
    const cells = rows.map((row) => row[index] ?? '')
    const width = Math.max(title.length, ...cells.map(({ length }) => length))
    const right = cells.length > 0 && cells.every((cell) => cell === '' || NUMERIC.test(cell))
    return (text: string) => (right ? text.padStart(width) : text.padEnd(width))
  })
  const line = (cells: readonly string[]) =>
    columns
      .map((pad, index) => pad(cells[index] ?? ''))
      .join('  ')
      .trimEnd()
  const rule = columns.map((pad) => '─'.repeat(pad('').length)).join('  ')
  return [line(head), rule, ...rows.map(line)].join('\n')
}
