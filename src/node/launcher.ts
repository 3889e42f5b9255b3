import { closeSync, openSync } from 'node:fs';

/** Whose child this process is as long as that one lives. Read at load: it may die while the gateway starts. */
const LAUNCHER = process.ppid;

/** How often it is looked whether the launcher is still there, in milliseconds. */
const LOOK_MS = 1_000;

/**
 * Calls `left` once when whoever started this process is gone, where that means that nobody wants it any more: npm (its
 * `npm_command` stands in the environment) and whoever says so by SLUICE_STAYS_WITH_PARENT never leave before their
 * child of their own accord, and a SIGKILL of theirs tells nobody. A shell may well leave; a gateway that it put into
 * the background stays.
 */
export function whenLauncherLeaves(env: NodeJS.ProcessEnv, left: () => void): void {
  if (env['npm_command'] === undefined && env['SLUICE_STAYS_WITH_PARENT'] === undefined) return;
  const timer = setInterval(() => {
    // The system hands an orphan to another parent.
    if (process.ppid === LAUNCHER) return;
    clearInterval(timer);
    left();
  }, LOOK_MS);
  timer.unref();
}

/**
 * Tells the SIGHUP of a terminal that was closed from the one that asks for a reload. What was started without a terminal
 * (a service, nohup) has none to lose.
 * @returns whether the terminal is gone
 */
export function terminalWatch(isAlive: () => boolean = hasTerminal): () => boolean {
  const hadOne = process.stdin.isTTY === true && isAlive();
  return () => hadOne && !isAlive();
}

function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}
