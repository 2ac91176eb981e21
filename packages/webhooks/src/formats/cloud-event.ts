import { type RecordedEvent, subjectOf, typeOf } from '../events.ts'
import type { FormatContext, Message } from './message.ts'

const MEDIA_TYPE = 'application/cloudevents+json; charset=utf-8'
/** As many digits as a safe integer can have, so that text sorts like numbers. */
const SEQUENCE_DIGITS = 16

/** CloudEvents 1.0 in structured JSON (JSON Event Format §3), with the `sequence` extension. */
export function toCloudEvent(event: RecordedEvent, { peerId }: FormatContext): Message {
  const { id, name, time, sequence, data } = event
  const body = JSON.stringify({
    specversion: '1.0',
    id,
    source: `/mesh/${peerId}`,
    type: typeOf(name),
    subject: subjectOf(data),
    time,
    datacontenttype: 'application/json',
    sequence: String(sequence).padStart(SEQUENCE_DIGITS, '0'),
    data
  })
  return { id, contentType: MEDIA_TYPE, body }
}
