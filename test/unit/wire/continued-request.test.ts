import { Buffer } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { type ContinuationWay, continuedRequest } from '../../../src/wire/continued-request.ts';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';

const scanner = loadJsonScanner();
const asked = (
  body: string,
  prefix = 'so "far"',
  way: ContinuationWay = 'prefill',
): string | null => continuedRequest(scanner, Buffer.from(body), prefix, way)?.toString() ?? null;
const USER = '{"role":"user","content":"a ] } \\" é"}';

describe('continuedRequest', () => {
  const body = `{ "messages" : [${USER} ] , "stream":true }`;

  it('appends the text so far as the assistant’s turn, and touches no other byte', () => {
    const turn = '{"role":"assistant","content":"so \\"far\\""';
    expect(asked(body)).toBe(body.replace(' ] ,', ` ,${turn}} ] ,`.replace('} ] ,', '}] ,')));
    expect(asked(body, 'so "far"', 'prefix')).toContain(`${turn},"prefix":true}]`);
    expect(JSON.parse(asked(body, 'é', 'final_message') ?? '')).toEqual({
      messages: [JSON.parse(USER), { role: 'assistant', content: 'é' }],
      stream: true,
      continue_final_message: true,
      add_generation_prompt: false,
    });
  });

  it.each([
    '"n":1',
    '"n":null',
    '"logprobs":false',
    '"response_format":{"type": "text"}',
    '"thinking":{"type":"disabled"}',
    '"tools":[{"type":"function"}]',
    '"metadata":{"messages":[],"n":2}',
  ])('takes a request with %s', (member) => {
    expect(asked(`{"messages":[${USER}],${member}}`)).not.toBeNull();
  });

  it.each([
    '"n":2',
    '"logprobs":true',
    '"response_format":{"type":"json_object"}',
    '"output_config":{"format":{}}',
    '"thinking":{"type":"enabled","budget_tokens":1024}',
    '"modalities":["audio"]',
    `"messages":[${USER}]`,
  ])('does not take a request with %s', (member) => {
    expect(asked(`{"messages":[${USER}],${member}}`)).toBeNull();
  });

  it.each([
    ['a turn of the assistant', `[${USER},{"role":"assistant","content":"x"}]`],
    ['a system prompt', '[{"role":"system","content":"x"}]'],
    ['nothing', '[]'],
    ['a text', '"hi"'],
  ])('does not take messages that end with %s', (_, messages) => {
    expect(asked(`{"messages":${messages}}`)).toBeNull();
  });

  it('takes neither an empty text nor a body larger than is read for it', () => {
    expect(asked(body, '')).toBeNull();
    expect(asked(`{"messages":[${USER}],"pad":"${'x'.repeat(4 * 1024 * 1024)}"}`)).toBeNull();
  });
});
