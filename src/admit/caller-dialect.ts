/** Which provider's API a caller speaks, as far as the head tells. */

import type { Dialect } from '../rejection.ts';
import { fieldValue } from '../wire/fields.ts';
import type { Asked } from './admission.ts';
import type { Credential } from './credential.ts';

// Besides a key in x-api-key (contracts: routes), `anthropic-version` says who is calling: Anthropic's SDK 1.11 and Claude
// Code put their key into Authorization, and their list of models on a bare base URL would else be OpenAI's.
export function speaksAnthropic({ fields }: Asked, { onlyInXApiKey }: Credential): boolean {
  return onlyInXApiKey || fieldValue(fields, 'anthropic-version') !== null;
}

/** Whose error shapes a caller reads, as far as its head tells. */
export function guessDialect({ path, fields }: Pick<Asked, 'path' | 'fields'>): Dialect {
  if (path === '/v1/messages' || path.startsWith('/v1/messages/')) return 'anthropic';
  return fieldValue(fields, 'anthropic-version') === null ? 'openai' : 'anthropic';
}
