import { describe, expect, it } from 'vitest';
import { ManagedEndpoints } from '../../../src/admit/endpoint.ts';

const endpoints = new ManagedEndpoints(['/rerank']);

describe('ManagedEndpoints', () => {
  it.each([
    ['/v1/chat/completions', 'completions'],
    ['/openai/v1/chat/completions', 'completions'],
    ['/v1/completions', 'completions'],
    ['/v1/responses', 'answers'],
    ['/v1/messages', 'answers'],
    ['/v1/messages/count_tokens', 'free'],
    ['/v1/embeddings', 'reports'],
    ['/v1/responses/input_tokens', 'free'],
    ['/v1/responses/compact', 'answers'],
    ['/v2/rerank', 'reports'],
  ])('POST %s is metered as %s and takes nothing but POST', (path, metering) => {
    expect(endpoints.judge('POST', path)).toBe(metering);
    for (const method of ['GET', 'HEAD', 'DELETE', 'PUT', 'PATCH', 'OPTIONS']) {
      expect(endpoints.judge(method, path)).toBe('wrong-method-post');
    }
  });

  it.each([
    '/v1/models',
    '/v1/models/gpt-5.2',
    '/v1/models/ft:gpt-4o:acme::x1',
  ])('GET and HEAD %s bill nothing', (path) => {
    expect(endpoints.judge('GET', path)).toBe('free');
    expect(endpoints.judge('HEAD', path)).toBe('free');
    expect(endpoints.judge('POST', path)).toBe('wrong-method-get');
  });

  it.each([
    '/v1/files',
    '/v1/batches',
    '/v1/responses/resp_1',
    '/v1/responses/resp_1/cancel',
    '/v1/fine_tuning/jobs',
    '/v1/chat/completions/',
    '/v1/chat/completions/chatcmpl-1',
    '/v1/models/',
    '/v1/models/..',
    '/v1/models/.',
    '/v1/models/..%2ffiles',
    '/v1/models/a%2Fb',
    '/v1/models/a/b',
    '/v1/files/../models',
    '/v1/files/%2e%2e/models',
    '/v1/files/./chat/completions',
    '/v1/x\\..\\files/models',
    '/',
    '/v1/CHAT/COMPLETIONS',
  ])('%s is nothing that a managed key reaches', (path) => {
    for (const method of ['GET', 'POST', 'DELETE']) {
      expect(endpoints.judge(method, path)).toBe('unknown');
    }
  });
});
