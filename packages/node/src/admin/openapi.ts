import { z } from 'zod'
import type { AdminAction } from './action.ts'
import {
  errorSchema,
  eventSchema,
  imageSchema,
  peerSchema,
  pullEventSchema,
  pullRequestSchema,
  statusSchema,
  transferSchema
} from './schemas.ts'
import type { StreamedAction } from './streamed-action.ts'

type Json = Record<string, unknown>

/** The OpenAPI 3.1 description of the admin API. */
export function describeApi(
  version: string,
  actions: readonly AdminAction[],
  streams: readonly StreamedAction[]
): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'layermesh admin API',
      version,
      description: 'What a running layermesh node knows, and what it can be told to do.'
    },
    components: { securitySchemes: { adminToken: { type: 'http', scheme: 'bearer' } } },
    paths: {
      '/livez': { get: operation('Whether the process runs', { 200: text('It runs.') }) },
      '/readyz': {
        get: operation('Whether clients can be served', { 200: text('They can.'), 503: text('Why not, a line each.') })
      },
      '/metrics': { get: operation('Metrics in Prometheus’ text format', { 200: text('The metrics.') }) },
      '/api/v1/status': { get: operation('What this node is and holds', { 200: json('Status', statusSchema) }) },
      '/api/v1/peers': { get: operation('The peers that are connected', { 200: json('Peers', z.array(peerSchema)) }) },
      '/api/v1/images': {
        get: operation('The tags that this node has a signed record of', { 200: json('Images', z.array(imageSchema)) })
      },
      '/api/v1/transfers': {
        get: operation('The blobs that are arriving', { 200: json('Transfers', z.array(transferSchema)) })
      },
      '/api/v1/pull': { post: pullOperation() },
      ...actionPaths(actions),
      ...Object.fromEntries(streams.map((stream) => [`/api/v1/${stream.path}`, { post: streamOperation(stream) }]))
    }
  }
}

function actionPaths(actions: readonly AdminAction[]): Json {
  const byPath = Map.groupBy(actions, ({ path }) => `/api/v1/${path}`)
  return Object.fromEntries(
    [...byPath].map(([path, methods]) => [
      path,
      Object.fromEntries(methods.map((action) => [action.method.toLowerCase(), actionOperation(action)]))
    ])
  )
}

function actionOperation({ method, summary, input, output }: AdminAction): Json {
  const described = {
    ...operation(summary, { 200: json('Done', output), 401: json('The admin token is missing or wrong', errorSchema) }),
    security: [{ adminToken: [] }]
  }
  const schema = toSchema(input, 'input')
  if (method === 'GET') return { ...described, parameters: queryParameters(schema) }
  return { ...described, requestBody: { required: true, content: { 'application/json': { schema } } } }
}

function queryParameters({ properties = {}, required = [] }: Json): Json[] {
  return Object.entries(properties as Json).map(([name, schema]) => ({
    in: 'query',
    name,
    required: (required as string[]).includes(name),
    schema
  }))
}

function streamOperation({ summary, input, progress, result }: StreamedAction): Json {
  const refusals = {
    401: json('The admin token is missing or wrong', errorSchema),
    429: json('Too many at one time', errorSchema)
  }
  return {
    ...operation(summary, { 200: lines(eventSchema(progress, result)), ...refusals }),
    security: [{ adminToken: [] }],
    requestBody: { required: true, content: { 'application/json': { schema: toSchema(input, 'input') } } }
  }
}

function lines(event: z.ZodType): Json {
  return {
    description: 'One JSON object a line; the last one is `done` or `error`.',
    content: { 'application/x-ndjson': { schema: toSchema(event) } }
  }
}

function pullOperation(): Json {
  const responses = { 200: lines(pullEventSchema), 429: json('Too many pulls at one time', errorSchema) }
  return {
    ...operation('Brings an image into this node', responses),
    requestBody: { required: true, content: { 'application/json': { schema: toSchema(pullRequestSchema, 'input') } } }
  }
}

function operation(summary: string, responses: Record<number, Json>): Json {
  return { summary, responses: { ...responses, '4XX': json('Refused', errorSchema) } }
}

function json(description: string, schema: z.ZodType): Json {
  return { description, content: { 'application/json': { schema: toSchema(schema) } } }
}

function text(description: string): Json {
  return { description, content: { 'text/plain': { schema: { type: 'string' } } } }
}

function toSchema(schema: z.ZodType, io: 'input' | 'output' = 'input'): Json {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io })
  return rest
}
