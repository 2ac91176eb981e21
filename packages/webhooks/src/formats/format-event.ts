import type { RecordedEvent } from '../events.ts'
import { toCloudEvent } from './cloud-event.ts'
import { toDockerEnvelope } from './docker-envelope.ts'
import type { Format, FormatContext, Message } from './message.ts'

/** Writes an event in the format of an endpoint. */
export function formatEvent(event: RecordedEvent, format: Format, context: FormatContext): Message {
  return format === 'docker' ? toDockerEnvelope(event, context) : toCloudEvent(event, context)
}
