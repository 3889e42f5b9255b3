/** Vercel's ai with @ai-sdk/openai-compatible, as it is used for every vendor without a package of its own. */

import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { embeddingCall, readCallError, textCalls } from './ai-calls.ts';
import { type Ask, run } from './contract.ts';

const provider = ({ url, key }: Ask) =>
  createOpenAICompatible({
    name: 'sluice',
    baseURL: url,
    apiKey: key,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
const calls = textCalls((ask) => provider(ask)(ask.model));

await run(
  { ...calls, embeddings: embeddingCall((ask) => provider(ask).textEmbeddingModel(ask.model)) },
  calls.chat,
  readCallError,
);
