import { describe, expect, test } from 'vitest';
import { inbandErrorIn } from '../../../src/wire/first-content.ts';

describe('an error inside a 200', () => {
  test.each([
    ['{"error":{"code":"invalid_api_key"}}', 401],
    ['{"type":"error","error":{"type":"authentication_error"}}', 401],
    ['{"type":"error","code":"insufficient_quota","message":"x"}', 402],
    [
      '{"type":"response.failed","response":{"output":[],"error":{"code":"insufficient_quota"}}}',
      402,
    ],
    ['{"error":{"code":403,"status":"PERMISSION_DENIED"}}', 403],
    ['[{"error":{"code":401}}]', 401],
    ['{"error":{"message":"odd"}}', 0],
  ])('%s is told as %i', (text, status) => {
    expect(inbandErrorIn(text)?.status).toBe(status);
  });

  test.each([
    '{"error":null,"choices":[{}]}',
    '{"error":{"code":401},"choices":[{"message":{"content":"so far"}}]}',
    '{"id":"c"}',
    'no JSON',
    '',
  ])('%s is none', (text) => {
    expect(inbandErrorIn(text)).toBeNull();
  });
});
