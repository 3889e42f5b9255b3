/** Vercel's ai with @ai-sdk/openai as it is by default: on the Responses API. */

import { createOpenAI } from '@ai-sdk/openai';
import { embeddingCall, readCallError, textCalls } from './ai-calls.ts';
import { type Ask, run } from './contract.ts';

const provider = ({ url, key }: Ask) => createOpenAI({ baseURL: url, apiKey: key });
const modelOf = (ask: Ask) => provider(ask)(ask.model);
const calls = textCalls(modelOf);
const storeless = textCalls(modelOf, { openai: { store: false } });

await run(
  {
    ...calls,
    storeless: storeless.tools,
    embeddings: embeddingCall((ask) => provider(ask).embedding(ask.model)),
  },
  calls.chat,
  readCallError,
);
