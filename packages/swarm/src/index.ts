export * from './events.ts'
export * from './options.ts'
export { Swarm } from './swarm.ts'
