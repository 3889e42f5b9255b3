/**
 * How a bench talks to its ends: processes of their own, so that making load and measuring take nothing from each
 * other's threads. One JSON line on stdin asks for one job, one JSON line on stdout answers it, in order.
 */

import { createInterface } from 'node:readline';

export type Answer = Readonly<Record<string, unknown>>;
type Job = (asked: Readonly<Record<string, unknown>>) => Promise<Answer> | Answer;

/** Answers jobs until stdin ends; an error ends the process, with its message on stderr. */
export function answerJobs(jobs: Readonly<Record<string, Job>>): void {
  let before: Promise<unknown> = Promise.resolve();
  const lines = createInterface(process.stdin);
  lines.on('line', (line) => {
    before = before.then(async () => {
      const asked = JSON.parse(line) as Readonly<Record<string, unknown>>;
      const job = jobs[String(asked['job'])];
      if (job === undefined) throw new Error(`no such job: ${line}`);
      process.stdout.write(`${JSON.stringify(await job(asked))}\n`);
    });
  });
  lines.once('close', () => process.exit(0));
}

/** Milliseconds of a clock that all processes and threads of the machine share. */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
