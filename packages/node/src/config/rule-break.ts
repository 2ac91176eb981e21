import type { ConfigErrorCode } from './errors.ts'

/** What is wrong between settings that are right each by itself. */
export interface RuleBreak {
  readonly code: ConfigErrorCode
  readonly path: readonly PropertyKey[]
  readonly message: string
}
