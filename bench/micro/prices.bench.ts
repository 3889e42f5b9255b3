// What it takes to say what a request cost: npm run bench:prices

import { readFileSync } from 'node:fs';
import { type Charge, Pricing } from '../../src/prices/cost.ts';
import { PriceBook, ShippedBook, shippedBook } from '../../src/prices/price-book.ts';
import { BilledUsage } from '../../src/wire/billed-usage.ts';
import { usageCounts } from '../../src/wire/usage-counters.ts';
import { usageDetails } from '../../src/wire/usage-details.ts';
import { taskTable } from './task-cost.ts';

const pricing = new Pricing(new PriceBook(shippedBook()));
const text = readFileSync(new URL('../../src/prices/book.jsonl', import.meta.url), 'utf8');
const CHAT = {
  prompt_tokens: 1_831,
  completion_tokens: 212,
  total_tokens: 2_043,
  prompt_tokens_details: { cached_tokens: 1_024, audio_tokens: 0 },
  completion_tokens_details: { reasoning_tokens: 64, audio_tokens: 0 },
};
const MESSAGES = {
  input_tokens: 31,
  output_tokens: 212,
  cache_read_input_tokens: 1_024,
  cache_creation_input_tokens: 776,
  cache_creation: { ephemeral_5m_input_tokens: 776, ephemeral_1h_input_tokens: 0 },
  service_tier: 'standard',
  inference_geo: 'global',
};

/** Names of models come out of answers' bytes: a text that nobody has hashed before. */
const served = (name: string): string => Buffer.from(name).toString('latin1');

function chargeOf(provider: string, model: string, usage: object): () => Charge {
  const billed = new BilledUsage();
  billed.report(usage);
  const { counts, ...rest } = billed.billed(model);
  if (counts === null) throw new Error('no counts');
  return () => ({
    provider,
    model: served(model),
    asked: model,
    counts,
    ...rest,
    source: 'reported',
    atMs: Date.now(),
  });
}

const chat = chargeOf('openai', 'gpt-5-mini-2025-08-07', CHAT);
const messages = chargeOf('anthropic', 'claude-opus-4-5', MESSAGES);
const unknown = chargeOf('openai', 'gpt-99-2027-01-01', CHAT);

await taskTable('prices', 'The cost of a request', [
  { name: 'what is charged, made (in every row below)', run: chat },
  { name: 'chat, cached and reasoned', run: () => pricing.cost(chat()) },
  { name: 'messages, cache read and written', run: () => pricing.cost(messages()) },
  { name: 'a model without a price', run: () => pricing.cost(unknown()) },
  { name: 'a chat usage object: its counters', run: () => usageCounts(CHAT) },
  { name: 'a chat usage object: what a price depends on', run: () => usageDetails(CHAT) },
  { name: 'a messages usage object: what a price depends on', run: () => usageDetails(MESSAGES) },
  { name: 'the shipped book, indexed (once a worker)', run: () => new ShippedBook(text) },
]);
