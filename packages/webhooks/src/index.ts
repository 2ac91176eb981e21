export { checkFiles } from './delivery/create-sender.ts'
export type { Attempt } from './delivery/deliverer.ts'
export type { Endpoint } from './endpoint.ts'
export { isWebhookError, WebhookError, type WebhookErrorCode } from './errors.ts'
export { EventPattern } from './event-pattern.ts'
export { EVENTS, type EventData, type EventName, type WebhookEvent } from './events.ts'
export { FORMATS, type Format, type FormatContext } from './formats/message.ts'
export type { DeadLetter, DropReason } from './outbox/endpoint-outbox.ts'
export {
  type EndpointState,
  type TestResult,
  type WebhookObserver,
  Webhooks,
  type WebhooksComponents,
  type WebhooksOptions
} from './webhooks.ts'
