import { expect, test } from 'vitest'
import { formatTable } from './table.ts'

test('aligns words to the left and numbers to the right', () => {
  const table = formatTable(
    ['what', 'took', 'note'],
    [
      ['layermesh', '2.5 s', ''],
      ['https', '12.25 s', 'the yardstick']
    ]
  )
  expect(table).toBe(
    [
      'what          took  note',
      '─────────  ───────  ─────────────',
      'layermesh    2.5 s',
      'https      12.25 s  the yardstick'
    ].join('\n')
  )
})
