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

  it('is one event in either dialect', () => {
    expect(renderErrorEvent(code, '', 'openai', 'r').toString()).toMatch(/^data: \{.*\}\n\n$/);
    expect(renderErrorEvent(code, '', 'anthropic', 'r').toString()).toMatch(
      /^event: error\ndata: \{.*\}\n\n$/,
    );
  });
});
