/** The exchanges that the benches are made of. */

import { randomBytes } from 'node:crypto';

export const CHAT_PATH = '/v1/chat/completions';

export const MODEL = 'gpt-5-mini';
const USAGE = { prompt_tokens: 231, completion_tokens: 88, total_tokens: 319 };

/** 1 KB up, 0.7 KB down: what the goal of issue 5 is stated for. */
export const CHAT_REQUEST = JSON.stringify({
  model: MODEL,
  messages: [{ role: 'user', content: 'What did the river say to the stone? '.repeat(26) }],
});

const answer = (content: string): string =>
  JSON.stringify({
    id: 'chatcmpl-C1hKpZ5vXyT9qLw2',
    object: 'chat.completion',
    created: 1_767_225_600,
    model: `${MODEL}-2025-08-07`,
    choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
    usage: USAGE,
  });

export const CHAT_ANSWER = answer('It said that it would be back. '.repeat(14));

/** The same for another model, streamed or not. */
export function requestFor(model: string, stream: boolean): string {
  const asked = JSON.parse(CHAT_REQUEST) as object;
  const options = stream ? { stream: true, stream_options: { include_usage: true } } : {};
  return JSON.stringify({ ...asked, model, ...options });
}

const event = (choices: readonly object[], more: object = {}): string =>
  `data: ${JSON.stringify({ id: 'chatcmpl-C1hKpZ5vXyT9qLw2', object: 'chat.completion.chunk', model: MODEL, choices, ...more })}\n\n`;

/** A short stream, written at once: what its end is late by, its first content is late by. */
export const CHAT_STREAM = [
  event([{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }]),
  event([{ index: 0, delta: { content: 'It said that it would be back.' }, finish_reason: null }]),
  event([{ index: 0, delta: {}, finish_reason: 'stop' }]),
  event([], { usage: USAGE }),
  'data: [DONE]\n\n',
].join('');

const NOISE = randomBytes(49_152).toString('base64');

/** As an image looks in JSON. */
const base64 = (characters: number): string =>
  NOISE.repeat(Math.ceil(characters / NOISE.length)).slice(0, characters);

/** A chat request of exactly so many bytes, most of them a picture; at least 256. */
export function requestOf(bytes: number): string {
  const text = (url: string): string =>
    JSON.stringify({
      model: MODEL,
      messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }],
    });
  return text(base64(bytes - text('').length));
}

/** A chat answer of exactly so many bytes; at least 512. */
export function answerOf(bytes: number): string {
  return answer(base64(bytes - answer('').length));
}
