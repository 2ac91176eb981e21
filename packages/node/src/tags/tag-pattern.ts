const PATTERN = /^[A-Za-z0-9_.*-]{1,128}$/

/** Whether a text is a pattern of tags: a tag in which `*` stands for any characters, also none. */
export function isTagPattern(text: string): boolean {
  return PATTERN.test(text)
}

/** What {@link isTagPattern} has accepted, to test tags by. */
export function tagPattern(pattern: string): RegExp {
  return new RegExp(`^${pattern.replaceAll('.', '\\.').replace(/\*+/g, '.*')}$`)
}
