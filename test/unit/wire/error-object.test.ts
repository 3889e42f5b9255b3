import { describe, expect, it } from 'vitest';
import { isError } from '../../../src/wire/error-object.ts';

describe('an error, whatever its status says, is', () => {
  it.each([
    { error: { message: 'no' } },
    { error: 'no' },
    { id: '1', model: 'm', error: { code: 502 }, choices: [] },
    { type: 'error', error: {} },
    { object: 'error', message: 'no', code: 400 },
    { type: 'response.failed', response: { id: '1', model: 'm', error: { code: 'x' } } },
    { id: '1', choices: [{ index: 0, error: { code: 502 } }] },
    { detail: 'Not authenticated' },
    { detail: [{ loc: ['body'], msg: 'field required' }] },
    { type: 'about:blank', title: 'Bad gateway', status: 502, instance: '/x' },
    { code: 'InvalidApiKey', message: 'no', request_id: '1' },
    { error_code: 110, error_msg: 'no token' },
    { success: false, errors: ['no'], result: null },
    { base_resp: { status_code: 1004, status_msg: 'no' }, choices: null },
    [{ error: { code: 400 } }],
    {},
    { error: null },
    [],
    null,
    '',
  ])('%j', (value) => expect(isError(value)).toBe(true));
});

describe('an answer, although it has members such as errors have, is', () => {
  it.each([
    { id: '1', error: null, output: [] },
    { message: { role: 'assistant', content: 'hello' } },
    { message: 'ok', output: [1] },
    { code: 0, message: 'ok', data: { text: 'hello' } },
    { result: {}, success: true, errors: [], messages: [] },
    { reply: 'hello', base_resp: { status_code: 0 } },
    { type: 'message', content: [] },
    { id: '1', status: 'completed' },
    { object: 'list', data: [] },
    [1, 2],
    'hello',
    7,
    true,
  ])('%j', (value) => expect(isError(value)).toBe(false));
});
