/*
 * What needs none of the rest, so that a node without access control, and the commands, need not load it: names and
 * checks of settings, API keys as texts, scopes, htpasswd files.
 */

export { REPOSITORY_ACTIONS, TOKEN_PATH } from './access-types.ts'
export { CERTIFICATE_NAMES } from './certificate.ts'
export { newApiKey } from './keys/api-key.ts'
export { isIssuer, isPrefix } from './oidc/oidc-names.ts'
export { listUsers, removeUser, setUser } from './passwords/htpasswd-edit.ts'
