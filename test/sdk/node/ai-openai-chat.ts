/** Vercel's ai with @ai-sdk/openai on chat completions. */

import { createOpenAI } from '@ai-sdk/openai';
import { readCallError, textCalls } from './ai-calls.ts';
import { type Ask, run } from './contract.ts';

const provider = ({ url, key }: Ask) => createOpenAI({ baseURL: url, apiKey: key });
const calls = textCalls((ask) => provider(ask).chat(ask.model));

await run(calls, calls.chat, readCallError);
