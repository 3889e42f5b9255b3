/** Vercel's ai with @ai-sdk/anthropic, whose base URL has the `/v1` that Anthropic's own SDK adds. */

import { createAnthropic } from '@ai-sdk/anthropic';
import { readCallError, textCalls } from './ai-calls.ts';
import { type Ask, run } from './contract.ts';

const provider = ({ url, key }: Ask) => createAnthropic({ baseURL: `${url}/v1`, apiKey: key });
const calls = textCalls((ask) => provider(ask)(ask.model));

await run(calls, calls.chat, readCallError);
