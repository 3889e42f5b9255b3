/** LangChain with @langchain/openai. */

import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import OpenAI from 'openai';
import { type Ask, expectSaid, expectVectors, run, type Used } from './contract.ts';
import { chatCalls, usedBy } from './langchain-calls.ts';
import { readOpenAIError } from './openai-errors.ts';

const options = ({ url, key, model }: Ask) => ({
  model,
  apiKey: key,
  configuration: { baseURL: url },
  maxRetries: 0,
});
const calls = chatCalls(
  (ask) => new ChatOpenAI(options(ask)),
  (error) => error instanceof OpenAI.APIError,
);

/** The usage of embeddings is not told. */
async function embeddings(ask: Ask): Promise<readonly Used[]> {
  const model = new OpenAIEmbeddings(options(ask));
  expectVectors(await model.embedDocuments(['the river', 'the stone']));
  return [null];
}

async function responses(ask: Ask): Promise<readonly Used[]> {
  const model = new ChatOpenAI({ ...options(ask), useResponsesApi: true });
  const whole = await model.invoke(ask.prompt);
  expectSaid(ask, whole.text);
  return [usedBy(whole)];
}

await run({ ...calls, embeddings, responses }, calls.chat, readOpenAIError);
