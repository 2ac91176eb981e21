export * from './interfaces.ts'
