import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Ask } from './asks.ts';
import type { Line } from './lines.ts';
import { folderOf, type Toolchain } from './toolchains.ts';

/** What a program printed, by the id of the call, and what it complained about. */
export interface Ran {
  readonly lines: ReadonlyMap<number, Line>;
  readonly stderr: string;
}

/** Settings of this machine's owner would win over what a program is told. */
const FOREIGN = /^(?:OPENAI|ANTHROPIC|LANGCHAIN|LANGSMITH|LITELLM)_|_PROXY$/i;

/** What would else be loaded from elsewhere at the start: litellm's price list. */
const OFFLINE = { LITELLM_LOCAL_MODEL_COST_MAP: 'True' };

function environment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !FOREIGN.test(name));
  return { ...Object.fromEntries(own), ...OFFLINE };
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Null for what an SDK prints by itself: a call without a line fails its test. */
function readLine(text: string): Line | null {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Runs a client's program: the asks in on stdin, a line out for each. */
export async function runProgram(
  toolchain: Toolchain,
  program: string,
  asks: readonly Ask[],
): Promise<Ran> {
  const [command = '', ...argv] = toolchain.command(program);
  const child = spawn(command, argv, { cwd: folderOf(toolchain.name), env: environment() });
  running.add(child);
  child.once('close', () => running.delete(child));
  const lines = new Map<number, Line>();
  let stderr = '';
  child.stderr.on('data', (text: Buffer) => {
    stderr += text.toString();
  });
  const reader = createInterface(child.stdout).on('line', (text) => {
    const line = readLine(text);
    if (line === null) stderr += `${text}\n`;
    else lines.set(line.id, line);
  });
  // A program that ends early says why on stderr.
  child.stdin.on('error', () => {});
  child.stdin.end(JSON.stringify(asks));
  await Promise.all([
    new Promise((resolve, reject) => child.once('close', resolve).once('error', reject)),
    new Promise((resolve) => reader.once('close', resolve)),
  ]);
  return { lines, stderr };
}
