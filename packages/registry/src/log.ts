type LogMethod = (fields: Readonly<Record<string, unknown>>, message: string) => void

/** Where the registry writes its log; pino and its like fit as they are. A field `err` holds an error. */
export interface RegistryLog {
  readonly debug: LogMethod
  readonly info: LogMethod
  readonly warn: LogMethod
  readonly error: LogMethod
}
