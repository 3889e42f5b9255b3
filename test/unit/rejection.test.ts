import { describe, expect, it } from 'vitest';
import {
  REJECTION_CODES,
  REJECTIONS,
  rejection,
  renderErrorEvent,
  renderRejection,
} from '../../src/rejection.ts';

describe.each(REJECTION_CODES)('%s', (code) => {
  it('is JSON in both dialects with its code or type, whatever its detail', () => {
    const detail = 'a "quoted" \\ back\nline é';
    const openai = renderRejection(rejection(code, detail), 'openai', 'req_1');
    expect(JSON.parse(openai.body)).toEqual({
      error: {
        message: `${REJECTIONS[code].message} ${detail}`,
        type: REJECTIONS[code].openaiType,
        param: null,
        code: REJECTIONS[code].toldAs ?? code,
      },
    });
    const anthropic = renderRejection(rejection(code, detail), 'anthropic', 'req_1');
    expect(JSON.parse(anthropic.body)).toEqual({
      type: 'error',
      error: {
        type: REJECTIONS[code].anthropicType,
        message: `${REJECTIONS[code].message} ${detail}`,
      },
      request_id: 'req_1',
    });
    expect(openai.head).toMatch(new RegExp(`^${REJECTIONS[code].status} `));
    expect(openai.head).toContain('x-sluice-request-id: req_1');
  });

  it('is an event of the Responses API where events are numbered, and raises in SDKs that look inside', () => {
    const text = renderErrorEvent(code, 'Why.', 'openai', 'r', '"limit":3', 9).toString();
    expect(text).toMatch(/^event: error\ndata: \{.*\}\n\n$/);
    const data = JSON.parse(text.slice(text.indexOf('{'))) as { message: string };
    expect(data).toMatchObject({
      type: 'error',
      code: REJECTIONS[code].toldAs ?? code,
      param: null,
      sequence_number: 9,
      error: {
        code: REJECTIONS[code].toldAs ?? code,
        message: data.message,
        type: REJECTIONS[code].openaiType,
        limit: 3,
      },
    });
    expect(data.message).toMatch(/Why\.$/);
  });

  it('is one event in either dialect', () => {
    expect(renderErrorEvent(code, '', 'openai', 'r').toString()).toMatch(/^data: \{.*\}\n\n$/);
    expect(renderErrorEvent(code, '', 'anthropic', 'r').toString()).toMatch(
      /^event: error\ndata: \{.*\}\n\n$/,
    );
  });
});
