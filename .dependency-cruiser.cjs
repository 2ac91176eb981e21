// Keeps the house in order (ARCHITECTURE.md, "The packages"). Alone: npm run run:in -- pnpm check:imports

/** Each package with those that it may import. */
const PACKAGES = {
  oci: [],
  trust: ['oci'],
  swarm: ['oci'],
  content: ['oci'],
  mesh: ['oci', 'trust', 'swarm', 'content'],
  upstream: ['oci'],
  access: ['oci', 'trust'],
  registry: ['oci', 'trust'],
  webhooks: ['oci'],
  node: ['oci', 'trust', 'swarm', 'content', 'mesh', 'upstream', 'access', 'registry', 'webhooks'],
  cli: ['node', 'oci'],
  dashboard: [],
  simulator: ['swarm', 'oci']
}

/** Packages that do no I/O, with the modules of Node that they may use all the same. */
const PURE = { oci: ['crypto'], swarm: [] }

const TESTS = ['[.]test[.]ts$', '^packages/[^/]+/src/testing/']
const LIBP2P = '(libp2p|@libp2p/[^/]+|@chainsafe/libp2p-[^/]+|@multiformats/[^/]+|multiformats|datastore-level)'
const LIBP2P_OF_TRUST = '@libp2p/(crypto|peer-id|peer-record)'
const LIBP2P_TYPES = '@libp2p/interface'

const packages = (...names) => `^packages/(${names.join('|')})/`
const installed = (modules) => `(^|/)node_modules/${modules}/`
/** All packages but these; tests may import what they need. */
const allBut = (...names) => ({ path: '^packages/', pathNot: [packages(...names), ...TESTS] })

const rules = {
  'no-cycles': {
    comment: 'Files that need each other are one file, or lack a third that both need.',
    from: {},
    to: { circular: true }
  },
  'no-unresolvable': { comment: 'What is imported must be there.', from: {}, to: { couldNotResolve: true } },
  'no-way-around-the-door': {
    comment: 'Other packages are imported by name, which leads to what they export, not by path.',
    from: { path: '^packages/([^/]+)/' },
    to: { dependencyTypes: ['local'], pathNot: '^packages/$1/' }
  },
  'no-built-code': {
    comment: 'Sources import sources (condition layermesh-source); what was built may be of yesterday.',
    from: {},
    to: { path: '^packages/[^/]+/dist/' }
  },
  'no-tests-in-the-product': {
    comment: 'Tests and what helps them are not shipped.',
    from: { path: '^packages/', pathNot: TESTS },
    to: { path: [...TESTS, '^test/'] }
  },
  'registry-needs-only-types-of-trust': {
    comment: 'registry verifies nothing itself.',
    from: { path: packages('registry'), pathNot: TESTS },
    to: { path: packages('trust'), dependencyTypesNot: ['type-only'] }
  },
  'libp2p-stays-in-mesh': {
    comment: 'Only mesh knows libp2p; the others see small interfaces.',
    from: allBut('mesh'),
    to: { path: installed(LIBP2P), pathNot: [installed(LIBP2P_OF_TRUST), installed(LIBP2P_TYPES)] }
  },
  'libp2p-keys-stay-in-mesh-and-trust': {
    comment: 'trust makes keys, peer ids and signed envelopes, and needs no more of libp2p.',
    from: allBut('mesh', 'trust'),
    to: { path: installed(LIBP2P_OF_TRUST) }
  },
  'libp2p-interface-for-types': {
    comment: 'Its types may be named anywhere.',
    from: allBut('mesh', 'trust'),
    to: { path: installed(LIBP2P_TYPES), dependencyTypesNot: ['type-only'] }
  },
  'leveldb-stays-in-content-and-webhooks': {
    comment: 'Only content knows how metadata is kept. The outbox of webhooks is a database of its own beside it.',
    from: allBut('content', 'webhooks'),
    to: { path: installed('(level|classic-level|abstract-level)') }
  },
  'express-stays-in-http': {
    comment: 'Only the registry API and the admin API speak HTTP.',
    from: allBut('registry', 'node'),
    to: { path: installed('(express|@types/express)') }
  }
}

for (const [name, below] of Object.entries(PACKAGES)) {
  rules[`${name}-imports-only-below`] = {
    comment: `${name} may import ${below.join(', ') || 'no other package'}.`,
    from: { path: packages(name), pathNot: TESTS },
    to: { path: '^packages/', pathNot: packages(name, ...below) }
  }
}

for (const [name, modules] of Object.entries(PURE)) {
  rules[`${name}-does-no-io`] = {
    comment: `${name} may use of Node: ${modules.join(', ') || 'nothing'}.`,
    from: { path: packages(name), pathNot: TESTS },
    to: { dependencyTypes: ['core'], pathNot: `^(node:)?(${modules.join('|')})$` }
  }
}

module.exports = {
  forbidden: Object.entries(rules).map(([name, rule]) => ({ name, severity: 'error', ...rule })),
  options: {
    exclude: { path: '^test/results/' },
    doNotFollow: { path: ['node_modules', '^packages/[^/]+/dist/'] },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      conditionNames: ['layermesh-source', 'import', 'node', 'default', 'types'],
      exportsFields: ['exports'],
      extensions: ['.ts', '.mjs', '.js', '.json', '.node', '.d.ts']
    }
  }
}
