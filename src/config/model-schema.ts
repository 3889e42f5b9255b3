import { z } from 'zod';
import type { ModelTraits } from '../plan/model-traits.ts';

/** Tokens: no window is near it, so that only a slip of the keyboard exceeds it. */
const TOKENS_MAX = 1_000_000_000;

function tokens() {
  const error = `tokens: a whole number from 1 to ${TOKENS_MAX}`;
  return z.int({ error }).min(1, { error }).max(TOKENS_MAX, { error }).nullable().prefault(null);
}

function can() {
  return z.boolean({ error: 'true or false' }).nullable().prefault(null);
}

const RATIO = 'tokens for each byte of text: a number above 0, up to 4';

const TABLE = z.strictObject(
  {
    context_tokens: tokens(),
    max_output_tokens: tokens(),
    images: can(),
    tools: can(),
    json_schema: can(),
    audio: can(),
    continues_prefix: can(),
    tokens_per_byte: z
      .number({ error: RATIO })
      .gt(0, { error: RATIO })
      .max(4, { error: RATIO })
      .nullable()
      .prefault(null),
  },
  {
    error: (issue) =>
      issue.code === 'invalid_type' ? 'a table: what is known of the model' : undefined,
  },
);

/** Its keys, in the order in which they are documented. */
export const MODEL_KEYS: readonly string[] = Object.keys(TABLE.shape);

/** One `[models."provider/model"]` table. */
export const MODEL = TABLE.transform(
  (table): ModelTraits => ({
    contextTokens: table.context_tokens,
    maxOutputTokens: table.max_output_tokens,
    images: table.images,
    tools: table.tools,
    jsonSchema: table.json_schema,
    audio: table.audio,
    continuesPrefix: table.continues_prefix,
    tokensPerByte: table.tokens_per_byte,
  }),
);
