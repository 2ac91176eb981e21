import Table from 'cli-table3'
import type { Report, Spread } from './report.ts'
import { formatSize, formatTime, formatTimes } from './units.ts'

/** The report for people. */
export function formatReport(report: Report): string {
  const { limit, phases } = report
  const rows: [string, string][] = [
    ['nodes that have it', `${report.expectedNodes - report.unfinishedNodes} of ${report.expectedNodes}`],
    ['makespan', formatTime(report.makespanMs)],
    ['physical limit', `${formatTime(limit.ms)}, by the ${limit.boundBy}`],
    ['makespan ÷ limit', formatTimes(report.ofLimit)],
    ['completion, from arrival', formatSpread(report.completion)],
    ['first byte, from arrival', formatSpread(report.firstByte)],
    ['from origins', `${formatTimes(report.originMultiple)} the image (${formatSize(report.originBytes)})`],
    ['from peers', `${formatSize(report.peerBytes)}`],
    ...Object.entries(report.farMultiples).map(([link, multiple]): [string, string] => [
      `over the link from zone ${link.replace('>', ' to ')}`,
      `${formatTimes(multiple)} the image`
    ]),
    ['wasted', `${(report.wastedShare * 100).toFixed(2)} % (${formatSize(report.wastedBytes)})`],
    ['fairness of what nodes gave', `${report.fairness.toFixed(3)} (Jain)`],
    ['ramp', formatPhase(phases.rampMs, phases.rampUse)],
    ['steady', formatPhase(phases.steadyMs, phases.steadyUse)],
    ['tail', formatPhase(phases.tailMs, phases.tailUse)],
    ['given up and asked again', String(report.giveUps)],
    ['banned', `${report.bannedLiars} liars, ${report.bannedOthers} others`]
  ]
  const table = new Table({ style: { head: [], border: [], compact: true } })
  table.push(...rows)
  return `${table.toString()}\n`
}

function formatSpread({ median, p95, max }: Spread): string {
  return `median ${formatTime(median)}, p95 ${formatTime(p95)}, max ${formatTime(max)}`
}

function formatPhase(ms: number, use: number): string {
  return `${formatTime(ms)}, ${(use * 100).toFixed(0)} % of all uplinks in use`
}
