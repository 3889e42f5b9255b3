import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningMock, startMock } from '../../../src/mock/server.ts';

// Gemini's own wire, as the mock speaks it.

let mock: RunningMock;
beforeAll(async () => {
  mock = await startMock({ host: '127.0.0.1', port: 0, eventDelayMs: 0 });
});
afterAll(() => mock.close());

async function ask(verb: string, body: object, model = 'gemini-2.5-flash', key = 'x') {
  const response = await fetch(`${mock.origin}/v1beta/models/${model}:${verb}`, {
    method: 'POST',
    headers: { 'x-goog-api-key': key, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, fields: response.headers, text };
}

const said = (text: string) => ({ contents: [{ role: 'user', parts: [{ text }] }] });
const clock = {
  functionDeclarations: [
    {
      name: 'clock',
      parametersJsonSchema: {
        type: 'object',
        properties: { zone: { type: 'string' } },
        required: ['zone'],
      },
    },
  ],
};

interface Event {
  readonly candidates: readonly {
    readonly content: { readonly parts: readonly Readonly<Record<string, unknown>>[] };
    readonly finishReason?: string;
  }[];
  readonly usageMetadata: Readonly<Record<string, number>>;
  readonly modelVersion: string;
}

const partsOf = ({ candidates }: Event) => candidates[0]?.content.parts ?? [];

function eventsOf(text: string): readonly Event[] {
  return text
    .split('\r\n\r\n')
    .filter((event) => event !== '')
    .map((event) => JSON.parse(event.replace(/^data: /, '')) as Event);
}

describe('an answer', () => {
  it('that is whole says what was said, and what it cost', async () => {
    const { text } = await ask('generateContent', {
      ...said('Say it'),
      generationConfig: { maxOutputTokens: 5 },
    });
    const answer = JSON.parse(text) as Event;
    expect(partsOf(answer)).toEqual([{ text: 'You said: Say it' }]);
    expect(answer).toMatchObject({
      candidates: [{ finishReason: 'STOP', index: 0 }],
      usageMetadata: { promptTokenCount: 2, candidatesTokenCount: 5, totalTokenCount: 7 },
      modelVersion: 'gemini-2.5-flash',
    });
  });

  it('that is streamed is the same text, with usage in every event and a reason in the last', async () => {
    const body = { ...said('Say it'), generationConfig: { maxOutputTokens: 5 } };
    const events = eventsOf((await ask('streamGenerateContent?alt=sse', body)).text);
    expect(events.flatMap(partsOf).map(({ text }) => text)).toEqual([
      'You',
      ' said',
      ':',
      ' Say',
      ' it',
    ]);
    expect(events.every(({ usageMetadata }) => usageMetadata['promptTokenCount'] === 2)).toBe(true);
    const reasons = events.map(({ candidates }) => candidates[0]?.finishReason);
    expect(reasons.filter((reason) => reason !== undefined)).toEqual(['STOP']);
    expect(events.at(-1)?.candidates[0]?.finishReason).toBe('STOP');
    expect(events.at(-1)?.usageMetadata).toMatchObject({ candidatesTokenCount: 5 });
  });

  it('without alt=sse is one array of the same events', async () => {
    const { text, fields } = await ask('streamGenerateContent', said('Say it'));
    expect(fields.get('content-type')).toBe('application/json');
    const streamed = await ask('streamGenerateContent?alt=sse', said('Say it'));
    expect((JSON.parse(text) as Event[]).map(partsOf)).toEqual(
      eventsOf(streamed.text).map(partsOf),
    );
  });

  it('thinks where it is told to, and shows that where it is told to', async () => {
    const told = (thinkingConfig: object) =>
      ask('generateContent', { ...said('Say it'), generationConfig: { thinkingConfig } });
    const shown = JSON.parse((await told({ includeThoughts: true })).text) as Event;
    expect(partsOf(shown)[0]).toMatchObject({ thought: true });
    expect(shown.usageMetadata).toMatchObject({ thoughtsTokenCount: 8, totalTokenCount: 30 });
    const hidden = JSON.parse((await told({ thinkingBudget: 1_024 })).text) as Event;
    expect(partsOf(hidden).some(({ thought }) => thought === true)).toBe(false);
    expect(hidden.usageMetadata).toMatchObject({ thoughtsTokenCount: 8 });
    const off = JSON.parse((await told({ thinkingBudget: 0 })).text) as Event;
    expect(off.usageMetadata).not.toHaveProperty('thoughtsTokenCount');
  });

  it('calls a tool, and speaks behind its result; a model from 3 on wants its signature back', async () => {
    const asked = { ...said('Time?'), tools: [clock] };
    const model = 'gemini-3-flash-preview';
    const answer = JSON.parse((await ask('generateContent', asked, model)).text) as Event;
    const [call] = partsOf(answer);
    expect(call).toMatchObject({
      functionCall: { name: 'clock', args: { zone: expect.any(String) } },
      thoughtSignature: expect.any(String),
    });
    const result = { functionResponse: { name: 'clock', response: { output: '12:00' } } };
    const goesOn = (part: object) => ({
      ...asked,
      contents: [
        ...asked.contents,
        { role: 'model', parts: [part] },
        { role: 'user', parts: [result] },
      ],
    });
    const behind = await ask('generateContent', goesOn(call ?? {}), model);
    expect(partsOf(JSON.parse(behind.text) as Event)[0]).toHaveProperty('text');
    const { functionCall } = call ?? {};
    expect((await ask('generateContent', goesOn({ functionCall }), model)).status).toBe(400);
  });

  it('fits the schema that is asked for', async () => {
    const responseJsonSchema = { type: 'object', properties: { name: { type: 'string' } } };
    const { text } = await ask('generateContent', {
      ...said('Invent'),
      generationConfig: { responseMimeType: 'application/json', responseJsonSchema },
    });
    const told = String(partsOf(JSON.parse(text) as Event)[0]?.['text']);
    expect(JSON.parse(told)).toHaveProperty('name');
  });

  it('counts contents alone, and all of a request', async () => {
    for (const body of [said('Say it'), { generateContentRequest: said('Say it') }])
      expect(JSON.parse((await ask('countTokens', body)).text)).toMatchObject({ totalTokens: 2 });
  });
});

describe('a fault', () => {
  it('429 says in its body alone when to try again', async () => {
    const { status, text, fields } = await ask('generateContent', said('x'), 'fault-429-after-7');
    expect([status, fields.get('retry-after')]).toEqual([429, null]);
    expect(JSON.parse(text)).toMatchObject({
      error: { code: 429, status: 'RESOURCE_EXHAUSTED', details: [{ retryDelay: '7s' }] },
    });
  });

  it('of a key that is none is a 400, with a reason', async () => {
    const { status, text } = await ask('generateContent', said('x'), 'm', 'sk-wrong');
    expect([status, text]).toEqual([400, expect.stringContaining('"reason":"API_KEY_INVALID"')]);
  });

  it('in a stream is an event with an error', async () => {
    const { text } = await ask('streamGenerateContent?alt=sse', said('x'), 'fault-error-event');
    expect(eventsOf(text).at(-1)).toMatchObject({ error: { code: 502 } });
  });
});
