import { describe, expect, it } from 'vitest';
import { adviceBeside, hasSlipped, slip } from '../../../src/admit/base-url.ts';
import { Router } from '../../../src/admit/route.ts';
import { providerTable } from '../../../src/providers/providers.ts';

const router = new Router(
  providerTable([{ name: 'vllm', authority: 'http://vllm.internal:8000' }]),
);

/** The detail of the 404 that a caller with a key of its own gets; null when the path is forwarded. */
function told(asked: string): string | null {
  const route = router.route(asked, false);
  if (route === null || route.bare) return router.explain(asked);
  return hasSlipped(route.path, route.provider) ? slip(asked, route.provider).detail : null;
}

const NAMES =
  'v1, openai, anthropic, openrouter, fireworks, groq, deepseek, together, cerebras, mistral, xai, gemini, vllm.';
const LISTED = `is not one of: ${NAMES}`;

describe('a base URL that is almost right', () => {
  it.each([
    ['/chat/completions', `"chat" ${LISTED} Put /v1 at the end of the base URL.`],
    ['/responses', `"responses" ${LISTED} Put /v1 at the end of the base URL.`],
    ['/models', `"models" ${LISTED} Put /v1 at the end of the base URL.`],
    [
      '/',
      `It is one of: ${NAMES} The base URL is the address of this gateway and /v1 for OpenAI's SDK, and the bare address for Anthropic's.`,
    ],
    ['/messages', `"messages" ${LISTED} The path is /v1/messages.`],
    [
      '//v1/chat/completions',
      `It is one of: ${NAMES} Take the slash at the end of the base URL away.`,
    ],
    ['/V1/chat/completions', `"V1" ${LISTED} Paths are case-sensitive: write /v1.`],
    ['/OpenAI/v1/chat/completions', `"OpenAI" ${LISTED} Paths are case-sensitive: write /openai.`],
    [
      '/v1%20/chat/completions',
      `"v1%20" ${LISTED} There is white space at the end of the base URL.`,
    ],
    ['/groq%0A/openai/v1', `"groq%0A" ${LISTED} There is white space at the end of the base URL.`],
    ['/v1beta/models', `"v1beta" ${LISTED}`],
    [
      '/v1/v1/chat/completions',
      'The path has /v1 twice. For openai the base URL is the address of this gateway and /v1, with no slash at its end.',
    ],
    [
      '/v1//chat/completions',
      'The path has two slashes in a row. For openai the base URL is the address of this gateway and /v1, with no slash at its end.',
    ],
    [
      '/v1/chat/completions/chat/completions',
      'The path has the endpoint twice. For openai the base URL is the address of this gateway and /v1, with no slash at its end.',
    ],
    [
      '/groq/openai/v1/responses/responses',
      'The path has the endpoint twice. For groq the base URL is the address of this gateway and /groq/openai/v1, with no slash at its end.',
    ],
    [
      '/v1/messages/v1/messages',
      "The path has the endpoint twice. Anthropic's SDK wants the bare address of this gateway, without /v1: it adds /v1/messages by itself.",
    ],
    [
      '/v1/v1/messages',
      "The path has /v1 twice. Anthropic's SDK wants the bare address of this gateway, without /v1: it adds /v1/messages by itself.",
    ],
    [
      '/anthropic/v1/v1/messages',
      "The path has /v1 twice. Anthropic's SDK wants the address of this gateway and /anthropic: it adds /v1/messages by itself.",
    ],
    [
      '/anthropic/messages',
      "Anthropic's SDK wants the address of this gateway and /anthropic: it adds /v1/messages by itself.",
    ],
    [
      '/openai/chat/completions',
      'For openai the base URL is the address of this gateway and /openai/v1, with no slash at its end.',
    ],
    [
      '/openai//v1/chat/completions',
      'The path has two slashes in a row. For openai the base URL is the address of this gateway and /openai/v1, with no slash at its end.',
    ],
    [
      '/groq/v1/chat/completions',
      'For groq the base URL is the address of this gateway and /groq/openai/v1, with no slash at its end.',
    ],
    [
      '/openrouter/v1/chat/completions',
      'For openrouter the base URL is the address of this gateway and /openrouter/api/v1, with no slash at its end.',
    ],
  ])('%s is told the right one', (asked, sentence) => {
    expect(told(asked)).toBe(sentence);
  });

  it.each([
    '/v1',
    '/v1/',
    '/v1/chat/completions',
    '/v1/messages',
    '/v1/v1x',
    '/v1/files/a//b',
    '/openai/v1/models',
    '/groq/openai/v1/chat/completions',
    '/groq//evil.test/x',
    '/deepseek/chat/completions',
    '/deepseek/beta/completions',
    '/openrouter/other',
    // Whoever adds a provider knows its paths.
    '/vllm/chat/completions',
    '/vllm/v1/v1/chat/completions',
    '/vllm//chat/completions',
  ])('%s is forwarded as it is', (asked) => {
    expect(told(asked)).toBe(null);
  });

  it('is told to virtual keys too, the URL of an endpoint included', () => {
    const beside = (asked: string): string | null => {
      const route = router.route(asked, false);
      return route && adviceBeside(asked, route.path, route.provider);
    };
    expect(beside('/v1/v1/chat/completions')).toMatch(/^The path has \/v1 twice\./);
    expect(beside('/v1/chat/completions/chat/completions')).toMatch(
      /^The path has the endpoint twice\. For openai/,
    );
    expect(beside('/v1/messages/v1/messages')).toMatch(
      /^The path has the endpoint twice\. Anthropic's/,
    );
    for (const asked of ['/v1/chat/completions/', '/chat/completions/', '/v1/messages//'])
      expect(beside(asked)).toMatch(/slash/);
    expect(beside('/v1/files')).toBe('');
    expect(beside('/v1/files/')).toBe('');
  });

  it('shows no more of a segment than a slip needs', () => {
    expect(router.explain(`/${'x'.repeat(5_000)}`).length).toBeLessThan(250);
  });
});
