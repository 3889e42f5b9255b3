import { describe, expect, it } from 'vitest';
import { ManagedEndpoints } from '../../../src/admit/endpoint.ts';
import { type Provider, providerTable } from '../../../src/providers/providers.ts';

const providers = providerTable([{ name: 'azure', authority: 'h:443', authScheme: 'api-key' }]);
const endpoints = new ManagedEndpoints(providers, ['/rerank'], ['/v2', '/custom/{name}/x']);

function provider(name: string): Provider {
  return providers.find((row) => row.name === name) ?? expect.fail(name);
}
const judge = (method: string, path: string, of = 'openai') =>
  endpoints.judge(method, path, provider(of));

/** Added providers have every usual prefix. */
const BUILT_IN: readonly (readonly [provider: string, prefix: string])[] = [
  ['openai', '/v1'],
  ['anthropic', '/v1'],
  ['openrouter', '/api/v1'],
  ['fireworks', '/inference/v1'],
  ['groq', '/openai/v1'],
  ['deepseek', '/v1'],
  ['deepseek', '/beta'],
  ['deepseek', ''],
  ['azure', '/openai/v1'],
  ['azure', '/openai/deployments/gpt-4o.mini'],
  ['azure', ''],
  ['gemini', '/v1beta/openai'],
  ['ollama', '/v1'],
  ['openai', '/v2'],
  ['azure', '/custom/any:thing/x'],
];

describe('ManagedEndpoints', () => {
  it.each([
    ['/chat/completions', 'completions'],
    ['/completions', 'completions'],
    ['/responses', 'answers'],
    ['/messages', 'answers'],
    ['/messages/count_tokens', 'free'],
    ['/embeddings', 'reports'],
    ['/responses/input_tokens', 'free'],
    ['/responses/compact', 'answers'],
    ['/rerank', 'reports'],
  ])('POST %s behind a prefix is metered as %s and takes nothing but POST', (path, metering) => {
    for (const [of, prefix] of BUILT_IN) {
      expect(judge('POST', prefix + path, of)).toBe(metering);
      for (const method of ['GET', 'HEAD', 'DELETE', 'PUT', 'PATCH', 'OPTIONS']) {
        expect(judge(method, prefix + path, of)).toBe('wrong-method-post');
      }
    }
  });

  it.each([
    '/models',
    '/models/gpt-5.2',
    '/models/ft:gpt-4o:acme::x1',
    '/models/ft%3Agpt-4o%3Aacme',
    '/models/meta-llama/Llama-3.3-70B',
    '/models/meta-llama%2FLlama-3.3-70B',
    '/models/accounts%2ffireworks/models/x',
    '/models/hf.co/unsloth/Qwen3:Q4_K_M',
  ])('GET and HEAD %s bill nothing', (path) => {
    for (const [of, prefix] of BUILT_IN) {
      expect(judge('GET', prefix + path, of)).toBe('free');
      expect(judge('HEAD', prefix + path, of)).toBe('free');
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
        expect(judge(method, prefix + path, of)).toBe('wrong-method-get');
    }
  });

  it.each([
    '/v1/files',
    '/v1/batches',
    '/v1/responses/resp_1/',
    '/v1/responses/resp_1/..',
    '/v1/responses/../files',
    '/v1/responses//cancel',
    '/v1/responses/resp%5f1',
    '/v1/responses/a/b',
    '/v1/responses/resp_1/output',
    '/v1/responses/resp_1;x',
    '/v1/responses/resp_1/cancel/',
    '/v1/responses/resp_1/cancel/x',
    '/v1/fine_tuning/jobs',
    '/v1/chat/completions//',
    '/v1/chat/completions/chatcmpl-1',
    '/v1/models/',
    '/v1/models//',
    '/v1/models/..',
    '/v1/models/.',
    '/v1/models/..%2ffiles',
    '/v1/models/%2e%2e/files',
    '/v1/models/a%2F..%2F..%2Ffiles',
    '/v1/models/a/../../files',
    '/v1/models/a%2f',
    '/v1/models/a%252fb',
    '/v1/models/a%5cb',
    '/v1/models/a;b',
    '/v1/models/a/b/c/d/e',
    '/v1/files/x/models/content',
    '/v1/files/../models',
    '/v1/files/%2e%2e/models',
    '/v1/files/./chat/completions',
    '/v1/x\\..\\files/models',
    '/',
    '',
    '/v1/CHAT/COMPLETIONS',
    '/V1/chat/completions',
    '/v1//chat/completions',
    '//v1/chat/completions',
    '/v1/chat//completions',
    '/v1/batches/..;/chat/completions',
    '/v1/chat;x/completions',
    '/v1/chat/completions;x',
    '/v1/batches/chat/completions',
    '/v1/conversations/conv_1/responses',
    '/v1/threads/t/messages',
    '/v1/Threads/t/messages',
    '/v1/vector_stores/v/completions',
    '/v1/fine_tuning/models',
    '/v1/organization/models/x',
    '/openai/deployments/../chat/completions',
    '/openai/deployments/./chat/completions',
    '/openai/deployments//chat/completions',
    '/openai/deployments/a/b/chat/completions',
    '/openai/deployments/a%2fb/chat/completions',
    '/custom/../x/chat/completions',
  ])('%s is nothing that a managed key reaches', (path) => {
    for (const of of ['openai', 'azure', 'anthropic']) {
      for (const method of ['GET', 'POST', 'DELETE']) {
        expect(judge(method, path, of), of).toBe('unknown');
      }
    }
  });

  it.each([
    ['GET', '', 'stored'],
    ['HEAD', '', 'stored'],
    ['DELETE', '', 'stored'],
    ['POST', '', 'wrong-method-stored'],
    ['POST', '/cancel', 'stored'],
    ['GET', '/cancel', 'wrong-method-stored'],
    ['GET', '/input_items', 'stored'],
    ['DELETE', '/input_items', 'wrong-method-stored'],
  ])('%s of a stored response%s is judged as %s', (method, rest, verdict) => {
    expect(judge(method, `/v1/responses/resp_1${rest}`, 'openai')).toBe(verdict);
  });

  it('a slash behind an endpoint is the same one where servers redirect to it: not at vendors', () => {
    expect(judge('POST', '/v1/chat/completions/', 'azure')).toBe('completions');
    expect(judge('POST', '/openai/deployments/d/responses/', 'azure')).toBe('answers');
    expect(judge('POST', '/v1/chat/completions/', 'openai')).toBe('unknown');
    expect(judge('GET', '/v1/models/x/', 'azure')).toBe('unknown');
  });

  it.each([
    ['gemini', '/v1beta/models/gemini-2.5-flash:generateContent', 'answers'],
    ['gemini', '/v1beta/models/gemini-2.5-flash:streamGenerateContent', 'answers'],
    ['gemini', '/v1beta/models/gemini-2.5-flash:countTokens', 'free'],
    ['gemini', '/v1beta/models/text-embedding-004:embedContent', 'reports'],
    ['gemini', '/v1beta/models/text-embedding-004:batchEmbedContents', 'reports'],
    ['ollama', '/api/chat', 'answers'],
    ['ollama', '/api/generate', 'answers'],
    ['ollama', '/api/embed', 'reports'],
  ])('%s: POST %s of its own wire is metered as %s', (of, path, metering) => {
    expect(judge('POST', path, of)).toBe(metering);
    expect(judge('GET', path, of)).toBe('wrong-method-post');
    for (const other of ['openai', 'azure']) expect(judge('POST', path, other)).toBe('unknown');
  });

  it.each([
    ['gemini', '/v1beta/models/a/b:generateContent'],
    ['gemini', '/v1beta/models/..:generateContent/x'],
    ['gemini', '/v1beta/models/a%2f..:generateContent'],
    ['gemini', '/v1beta/cachedContents'],
    ['gemini', '/v1beta/files'],
    ['gemini', '/v1beta/tunedModels/x:generateContent'],
    ['gemini', '/v1beta/models/x:batchGenerateContent'],
    ['gemini', '/upload/v1beta/files'],
    ['ollama', '/api/pull'],
    ['ollama', '/api/delete'],
    ['ollama', '/api/create'],
    ['ollama', '/api/chat/'],
  ])('%s: %s of its own wire is nothing that a managed key reaches', (of, path) => {
    expect(['unknown', 'wrong-method-get']).toContain(judge('POST', path, of));
  });

  it.each([
    ['gemini', '/v1beta/models', 'free'],
    ['gemini', '/v1beta/models/gemini-2.5-flash', 'free'],
    ['gemini', '/v1beta/models/veo-3/operations/x', 'unknown'],
    ['gemini', '/v1beta/files', 'unknown'],
    ['gemini', '/v1beta/cachedContents/x', 'unknown'],
    ['ollama', '/api/tags', 'free'],
    ['ollama', '/api/ps', 'unknown'],
  ])('%s: GET %s is %s', (of, path, verdict) => {
    expect(judge('GET', path, of)).toBe(verdict);
    expect(judge('HEAD', path, of)).toBe(verdict);
  });

  it('the prefix of one provider is none of another', () => {
    expect(judge('POST', '/api/v1/chat/completions', 'openrouter')).toBe('completions');
    for (const of of ['openai', 'groq', 'anthropic'])
      expect(judge('POST', '/api/v1/chat/completions', of)).toBe('unknown');
    expect(judge('POST', '/openai/deployments/x/chat/completions', 'openai')).toBe('unknown');
    expect(judge('POST', '/chat/completions', 'openai')).toBe('unknown');
  });
});
