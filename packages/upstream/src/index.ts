export { isUpstreamError, UpstreamError, type UpstreamErrorCode } from './errors.ts'
export type * from './interfaces.ts'
