import { Command, Option } from 'commander'
import { type Naming, PRESETS, SCENARIO_DEFAULTS, type Scenario } from './scenario.ts'
import { parseCount, parseNumber, parseRate, parseShare, parseSize, parseTime } from './units.ts'

type Flag = readonly [flags: string, keys: keyof Scenario | readonly (keyof Scenario)[], parse: Parse, help: string]
type Parse = (text: string) => number

const FLAGS: readonly Flag[] = [
  ['--nodes <COUNT>', 'nodes', parseCount, 'nodes that want the image'],
  ['--size <SIZE>', 'imageBytes', parseSize, 'the image'],
  ['--blobs <COUNT>', 'blobs', parseCount, 'blobs that the image is cut into'],
  ['--piece <SIZE>', 'pieceBytes', parseSize, 'length of the pieces (default: as nodes choose it)'],
  ['--seed <NUMBER>', 'seed', parseCount, 'the same seed, the same run'],
  ['--origins <COUNT>', 'origins', parseCount, 'nodes that have the image from the beginning'],
  ['--zones <COUNT>', 'zones', parseCount, 'zones; the origins are in the first'],
  [
    '--link <RATE>',
    ['uplinkBytesPerSecond', 'downlinkBytesPerSecond', 'originUplinkBytesPerSecond'],
    parseRate,
    'each direction of every host'
  ],
  ['--uplink <RATE>', 'uplinkBytesPerSecond', parseRate, 'what a node can send'],
  ['--origin-uplink <RATE>', 'originUplinkBytesPerSecond', parseRate, 'what an origin can send'],
  ['--enter <RATE>', 'enterBytesPerSecond', parseRate, 'the origins get the image from outside, at this rate'],
  ['--far-link <RATE>', 'farLinkBytesPerSecond', parseRate, 'each direction between two zones (default: no bound)'],
  ['--latency <TIME>', 'nearLatencyMs', parseTime, 'one way, within a zone'],
  ['--far-latency <TIME>', 'farLatencyMs', parseTime, 'one way, between zones'],
  ['--slow <SHARE>', 'slowShare', parseShare, 'nodes with slow links'],
  ['--slow-factor <SHARE>', 'slowFactor', parseShare, 'what slow links have of the rate'],
  ['--arrival-span <TIME>', 'arrivalSpanMs', parseTime, 'nodes begin at random within this time'],
  ['--late-zone <TIME>', 'lateZoneMs', parseTime, 'the last zone begins so much later'],
  ['--readers <COUNT>', 'readBlobs', parseCount, 'blobs that are read while they arrive'],
  ['--ranges <COUNT>', 'rangesPerBlob', parseCount, 'readers of each of these, each in its own range'],
  ['--reader-rate <RATE>', 'readerBytesPerSecond', parseRate, 'what a reader takes in (default: all that comes)'],
  ['--crash <SHARE>', 'crashShare', parseShare, 'nodes that crash on the way'],
  ['--crash-return <TIME>', 'crashReturnMs', parseTime, 'they are back after this time (default: never)'],
  ['--freeze <SHARE>', 'freezeShare', parseShare, 'nodes that stand still on the way'],
  ['--freeze-time <TIME>', 'freezeMs', parseTime, 'they go on after this time (default: never)'],
  ['--fault-span <TIME>', 'faultSpanMs', parseTime, 'faults strike within this time from arrival'],
  ['--liars <SHARE>', 'liarShare', parseShare, 'nodes that offer everything and send wrong bytes'],
  ['--neighbours <COUNT>', 'neighbours', parseCount, 'peers of its zone that a node shares a blob with'],
  ['--far-neighbours <COUNT>', 'farNeighbours', parseCount, 'peers of other zones that a node asks'],
  [
    '--joins <COUNT>',
    'joinsPerWholeBlob',
    parseCount,
    'peers of each zone that take a blob from one who has all of it'
  ],
  ['--step <TIME>', 'stepMs', parseTime, 'step of the virtual time (default: a quarter of a piece at line rate)']
]

const NAMINGS: readonly Naming[] = ['balanced', 'latest']

/** What the command line asks for. */
export interface Orders {
  readonly scenario: Scenario
  /** Where the report goes as JSON. */
  readonly json: string | undefined
}

/** The command line of the simulator; `run` is called with what it asks for. */
export function simulateCommand(run: (orders: Orders) => void): Command {
  const command = new Command('layermesh-simulate')
    .description('Runs the swarm on thousands of virtual nodes, and tells how it did against the physical limit.')
    .addOption(new Option('--scenario <NAME>', presetsHelp()).choices(Object.keys(PRESETS)).default('flash'))
    .addOption(new Option('--naming <HOW>', 'whom nodes name to each other').choices(NAMINGS).default('balanced'))
    .option('--json <FILE>', 'write the report there too')
    .option('--swarm <KEY=NUMBER...>', 'options of the asking side of the swarm')
    .option('--uploads <KEY=NUMBER...>', 'options of its giving side')
  for (const [flags, , parse, help] of FLAGS) command.addOption(new Option(flags, help).argParser(parse))
  return command.action((options: Readonly<Record<string, unknown>>) => run(ordersOf(options)))
}

function ordersOf(options: Readonly<Record<string, unknown>>): Orders {
  const changes: Record<string, unknown> = {}
  for (const [flags, keys] of FLAGS) {
    const value = options[new Option(flags).attributeName()]
    for (const key of typeof keys === 'string' ? [keys] : keys) if (value !== undefined) changes[key] = value
  }
  const scenario: Scenario = {
    ...SCENARIO_DEFAULTS,
    ...PRESETS[String(options.scenario)]?.changes,
    ...changes,
    naming: options.naming === 'latest' ? 'latest' : 'balanced',
    swarm: pairs(options.swarm),
    uploads: pairs(options.uploads)
  }
  return { scenario, json: typeof options.json === 'string' ? options.json : undefined }
}

function pairs(texts: unknown): Record<string, number> {
  const read: Record<string, number> = {}
  for (const text of Array.isArray(texts) ? texts : []) {
    const [key = '', value = ''] = String(text).split('=')
    read[key] = parseNumber(value)
  }
  return read
}

function presetsHelp(): string {
  return Object.entries(PRESETS)
    .map(([name, { about }]) => `${name}: ${about}`)
    .join('; ')
}
