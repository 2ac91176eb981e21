import { CERTIFICATE_NAMES, isIssuer, isPrefix, REPOSITORY_ACTIONS } from '@layermesh/access/basics'
import { z } from 'zod'
import { path, repositories, shaped } from './shapes.ts'
import { parseDuration } from './units.ts'

const name = shaped('a name without control characters, 255 characters at most', (text) =>
  /^\P{Cc}{1,255}$/u.test(text)
)
const groupName = shaped('the name of a group, without a colon', (text) => /^[^:\p{Cc}]{1,255}$/u.test(text))
const within = (least: string, most: string) =>
  shaped(`a duration from ${least} to ${most}`, (text) => {
    const ms = parseDuration(text) ?? 0
    return ms >= (parseDuration(least) ?? 0) && ms <= (parseDuration(most) ?? 0)
  })

const grant = z.strictObject({
  users: z.array(name).default([]).describe('Users by name.'),
  groups: z
    .array(name)
    .default([])
    .describe('Groups of access.groups, or of an identity provider, which begin with its prefix.'),
  authenticated: z.boolean().default(false).describe('Everybody who has proved who they are.'),
  anyone: z.boolean().default(false).describe('Everybody.'),
  actions: z
    .array(z.enum(REPOSITORY_ACTIONS))
    .min(1, { error: 'expected at least one action' })
    .describe('create: push what is new; update: have an existing tag mean something else.')
})

const oidc = z.strictObject({
  issuer: shaped('an https URL without query and fragment (http on loopback only)', isIssuer).describe(
    'The identity provider, by the URL that it calls itself.'
  ),
  audience: name.describe('What its tokens must be meant for.'),
  usernameClaim: name.default('sub').describe('The claim that is the user’s name.'),
  groupsClaim: name.optional().describe('The claim that lists the user’s groups.'),
  prefix: shaped('a word with a colon at its end, such as corp:', isPrefix)
    .default('oidc:')
    .describe('Stands before the names of its users and groups, so that they are nobody else’s.'),
  caFile: path.optional().describe('PEM file of the authorities that vouch for its address, instead of the usual ones.')
})

export const access = z.strictObject({
  htpasswd: path
    .optional()
    .describe('File of users with bcrypt hashes, as `layermesh user add` makes it. It is read anew when it changes.'),
  oidc: z.array(oidc).default([]).describe('OpenID Connect identity providers whose tokens prove who a client is.'),
  clientCertificates: z
    .strictObject({ name: z.enum(CERTIFICATE_NAMES).describe('Which part of the certificate is the user’s name.') })
    .optional()
    .describe(
      'Has certificates that registry.tls.clientCa signed prove who a client is: whoever one of them calls alice is alice. ' +
        'They can not be passed on, so that changes by them are made at a seed.'
    ),
  groups: z.record(groupName, z.array(name)).default({}).describe('Groups, each with the names of its users.'),
  challenge: z
    .enum(['token', 'basic'])
    .default('token')
    .describe(
      'What clients are asked for: a token, for which they show their password once, or the password each time.'
    ),
  tokenValidity: within('1m', '1h').default('5m').describe('How long a token holds.'),
  refreshTokenValidity: within('1h', '365d')
    .default('30d')
    .describe('How long clients that ask for it need not show their password again.'),
  rules: z
    .array(
      z.strictObject({
        repositories: repositories.describe(
          'Pattern; ** is all of the mesh’s own repositories and none that is mirrored.'
        ),
        grant: z.array(grant).describe('Who may do what there; the grants add up.')
      })
    )
    .default([])
    .describe(
      'Who may do what: the first rule whose pattern fits counts. Where none fits, mirrored repositories may be ' +
        'pulled, and nothing is allowed in others.'
    )
})
