/** LangChain with @langchain/anthropic. */

import { ChatAnthropic } from '@langchain/anthropic';
import { isAnthropicError, readAnthropicError } from './anthropic-errors.ts';
import { type Ask, run } from './contract.ts';
import { chatCalls } from './langchain-calls.ts';

const calls = chatCalls(
  ({ url, key, model }: Ask) =>
    new ChatAnthropic({
      model,
      apiKey: key,
      anthropicApiUrl: url,
      maxRetries: 0,
      maxTokens: 1_024,
    }),
  isAnthropicError,
  // It adds the one token of the opening event to the count that replaces it: never what is billed.
  () => null,
);

await run(calls, calls.chat, readAnthropicError);
