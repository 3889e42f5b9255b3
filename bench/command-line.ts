/** How benches are told what to do, and how they say in one line that they cannot. */

import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';

/** Ends the process with one line: a stack helps nobody who mistyped an option or lacks a command. */
export function giveUp(line: string): never {
  process.stderr.write(`${line}\n`);
  process.exit(1);
}

/**
 * Reads argv. Ends the process for `--help`, and for what is no option.
 *
 * @param usage one line: how it is called
 * @returns the options' values
 */
export function commandLine<const Options extends ParseArgsOptionsConfig>(
  usage: string,
  options: Options,
) {
  const args = process.argv.slice(2);
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(`${usage}\n`);
    process.exit(0);
  }
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    const said = error instanceof Error ? error.message.split(/\.\s/)[0] : 'unknown';
    return giveUp(`${said}. ${usage}`);
  }
}

/** Ends the process when an option's text is no number above 0. */
export function positive(option: string, text: string, usage: string): number {
  const number = Number(text);
  return number > 0 ? number : giveUp(`${option} takes a number above 0. ${usage}`);
}
