import type { Asked } from './asked.ts';
import { answerChat } from './chat.ts';
import { answerEmbeddings } from './embeddings.ts';
import { answerGeminiCount, answerGenerate, answerStreamGenerate } from './gemini.ts';
import { answerImage, answerSpeech } from './media.ts';
import { answerCountTokens, answerMessage } from './messages.ts';
import { answerModel, answerModels } from './models.ts';
import { answerOllamaChat, answerOllamaEmbed } from './ollama.ts';
import type { Reply } from './reply.ts';
import { answerCompact, answerInputTokens, answerResponse } from './responses.ts';
import { answerTextCompletion } from './text-completions.ts';

/** One thing that the mock answers, found by how a path ends, so that every provider's prefix works. */
export interface Endpoint {
  readonly name: string;
  readonly method: 'GET' | 'POST';
  readonly path: RegExp;
  readonly summary: string;
  /** Null: the server answers it from the body's bytes as they come. */
  readonly answer: ((asked: Asked) => Reply) | null;
}

export const ENDPOINTS: readonly Endpoint[] = [
  {
    name: 'chat/completions',
    method: 'POST',
    path: /\/chat\/completions$/,
    summary: 'stream, tools, response_format, n, stream_options.include_usage',
    answer: answerChat,
  },
  {
    name: 'completions',
    method: 'POST',
    path: /\/completions$/,
    summary: 'legacy text completions',
    answer: answerTextCompletion,
  },
  {
    name: 'responses/input_tokens',
    method: 'POST',
    path: /\/responses\/input_tokens$/,
    summary: 'count only',
    answer: answerInputTokens,
  },
  {
    name: 'responses/compact',
    method: 'POST',
    path: /\/responses\/compact$/,
    summary: 'compaction',
    answer: answerCompact,
  },
  {
    name: 'responses',
    method: 'POST',
    path: /\/responses$/,
    summary: 'stream, tools, background',
    answer: answerResponse,
  },
  {
    name: 'embeddings',
    method: 'POST',
    path: /\/embeddings$/,
    summary: 'float and base64',
    answer: answerEmbeddings,
  },
  {
    name: 'messages/count_tokens',
    method: 'POST',
    path: /\/messages\/count_tokens$/,
    summary: 'count only',
    answer: answerCountTokens,
  },
  {
    name: 'messages',
    method: 'POST',
    path: /\/messages$/,
    summary: 'Anthropic: stream, tools, thinking',
    answer: answerMessage,
  },
  {
    name: 'models/{id}:generateContent',
    method: 'POST',
    path: /\/models\/[^/]+:generateContent$/,
    summary: "Gemini's own: tools, thinking, formats, signatures",
    answer: answerGenerate,
  },
  {
    name: 'models/{id}:streamGenerateContent',
    method: 'POST',
    path: /\/models\/[^/]+:streamGenerateContent$/,
    summary: 'the same as events (alt=sse), or as one array',
    answer: answerStreamGenerate,
  },
  {
    name: 'models/{id}:countTokens',
    method: 'POST',
    path: /\/models\/[^/]+:countTokens$/,
    summary: 'count only',
    answer: answerGeminiCount,
  },
  {
    name: 'api/chat',
    method: 'POST',
    path: /\/api\/chat$/,
    summary: "Ollama's own: stream as lines of JSON, tools, thinking, format",
    answer: answerOllamaChat,
  },
  {
    name: 'api/embed',
    method: 'POST',
    path: /\/api\/embed$/,
    summary: "Ollama's own embeddings",
    answer: answerOllamaEmbed,
  },
  {
    name: 'images/generations',
    method: 'POST',
    path: /\/images\/generations$/,
    summary: 'base64; 5 MB with quality "high"',
    answer: answerImage,
  },
  {
    name: 'audio/speech',
    method: 'POST',
    path: /\/audio\/speech$/,
    summary: 'binary; size by x-mock-bytes',
    answer: answerSpeech,
  },
  {
    name: 'files',
    method: 'POST',
    path: /\/files$/,
    summary: 'multipart upload: answers with size and SHA-256',
    answer: null,
  },
  { name: 'models', method: 'GET', path: /\/models$/, summary: 'the list', answer: answerModels },
  {
    name: 'models/{id}',
    method: 'GET',
    path: /\/models\/[^/]+$/,
    summary: 'every id exists',
    answer: answerModel,
  },
];
