import type { Command } from 'commander'
import type { CommandContext } from '../context.ts'
import { CliFailure } from '../failure.ts'
import { printable } from '../format.ts'

interface UserFlags {
  readonly htpasswd: string
}

/** `user add`, `user remove`, `user list`: who can log in with a password. */
export function addUserCommands(program: Command, context: CommandContext): void {
  const user = program.command('user').description('the users of a file that access.htpasswd names')
  const inFile = (command: Command) => command.requiredOption('--htpasswd <FILE>', 'the file')
  const add = user
    .command('add')
    .description('add a user, or change a password: typed, or the first line of standard input')
    .argument('<NAME>')
  inFile(add).action(async (name: string, { htpasswd }: UserFlags) => {
    const { setUser } = await import('@layermesh/node')
    const isNew = await setUser(htpasswd, name, await readPassword(context, name))
    context.out.write(`${isNew ? 'added' : 'changed the password of'} ${printable(name)}\n`)
  })
  const remove = user
    .command('remove')
    .description('remove a user, whose tokens mean nothing from then on where the file is')
    .argument('<NAME>')
  inFile(remove).action(async (name: string, { htpasswd }: UserFlags) => {
    const { removeUser } = await import('@layermesh/node')
    await removeUser(htpasswd, name)
    context.out.write(`removed ${printable(name)}\n`)
  })
  inFile(user.command('list').description('print their names')).action(async ({ htpasswd }: UserFlags) => {
    const { listUsers } = await import('@layermesh/node')
    for (const name of await listUsers(htpasswd)) context.out.write(`${printable(name)}\n`)
  })
}

/** Whoever types does not see what; it is asked for twice. */
async function readPassword(context: CommandContext, name: string): Promise<string> {
  const password = await context.readSecret(`password of ${printable(name)}: `)
  if (!context.isTyped || (await context.readSecret('once more: ')) === password) return password
  throw new CliFailure('FAILED', 'these are two passwords; nothing was changed')
}
