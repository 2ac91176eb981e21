/*
 * What needs none of the rest, so that a node without webhooks need not load it: names and checks of settings, errors.
 */

export { isWebhookError } from './errors.ts'
export { EventPattern } from './event-pattern.ts'
export { FORMATS } from './formats/message.ts'
