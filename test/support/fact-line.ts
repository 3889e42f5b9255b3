import { LineBatch } from '../../src/outlet/line-batch.ts';
import type { UsageFact } from '../../src/settle/usage-fact.ts';
import { UsageFactLines } from '../../src/settle/usage-fact-lines.ts';

/** A fact's line as a worker sends it, without its newline. */
export function usageFactLine(fact: UsageFact): string {
  let sent = '';
  const batch = new LineBatch((lines) => {
    sent += Buffer.from(lines).toString();
  });
  new UsageFactLines(batch).add(fact);
  batch.flush();
  return sent.slice(0, -1);
}
