import { readFileSync } from 'node:fs';

const DOCS = readFileSync(new URL('../../docs/facts.md', import.meta.url), 'utf8');
const BLOCKS = {
  facts: /```sql\n(CREATE TABLE ai_usage \(\n {2}request_id text[\s\S]*?)```/,
  sums: /```sql\n(BEGIN;\nCREATE INDEX ai_usage_time[\s\S]*?)```/,
} as const;

/** What docs/facts.md says to make in a Postgres, word for word. */
export function postgresTable(which: keyof typeof BLOCKS): string {
  const text = BLOCKS[which].exec(DOCS)?.[1];
  if (text === undefined) throw new Error(`docs/facts.md has no ${which} for a Postgres`);
  return text;
}
