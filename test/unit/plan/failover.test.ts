import { describe, expect, test } from 'vitest';
import { failureOfInband, failureOfStatus } from '../../../src/plan/failover.ts';

describe('what a status and the start of its body say', () => {
  test.each([
    [200, '', null],
    [408, '', 'timeout'],
    [425, '', 'server_error'],
    [429, '', 'rate_limit'],
    [429, '{"error":{"code":"insufficient_quota"}}', 'auth'],
    [400, '{"error":{"message":"Your credit balance is too low to access the API"}}', 'auth'],
    [401, '', 'auth'],
    [402, '', 'auth'],
    [403, '', 'auth'],
    [500, '', 'server_error'],
    [502, '', 'server_error'],
    [503, '', 'server_error'],
    [504, '', 'timeout'],
    [520, '', 'server_error'],
    [521, '', 'server_error'],
    [522, '', 'server_error'],
    [523, '', 'server_error'],
    [524, '', 'server_error'],
    [529, '', 'server_error'],
    [404, '{"error":{"code":"model_not_found"}}', 'model_missing'],
    [404, '{"error":{"code":"DeploymentNotFound"}}', 'model_missing'],
    [404, '{"error":{"message":"Unknown request URL"}}', null],
    [400, '{"error":{"code":"context_length_exceeded"}}', 'context_length'],
    [
      400,
      '{"error":{"message":"prompt is too long: 210000 tokens > 200000 maximum"}}',
      'context_length',
    ],
    [400, '{"error":{"code":"content_filter"}}', 'refusal'],
    [400, '{"error":{"message":"Invalid value for temperature"}}', null],
    // What the caller wrote comes back in a provider's words: neither its keys nor its model are to blame.
    [400, `{"error":{"message":"Invalid value: 'insufficient_quota'."}}`, null],
    [400, '{"error":{"message":"Bad role: \\"code\\":\\"insufficient_quota\\""}}', null],
    [422, '{"detail":"your credit balance is too low"}', null],
    [400, `{"error":{"message":"Unknown tool 'the model x does not exist'"}}`, null],
    [400, '{"error":{"message":"The model `x` does not exist"}}', 'model_missing'],
    [400, '{"error":{"type":"billing_error","message":"x"}}', 'auth'],
    [409, '', null],
    [415, '', null],
    [422, '{"detail":"extra_forbidden"}', null],
    [501, '', null],
  ])('%i %s is %s', (status, body, reason) => {
    expect(failureOfStatus(status, body)?.reason ?? null).toBe(reason);
  });

  test('what is wrong with the key alone asks for another key, what is wrong with the server for another try', () => {
    expect(failureOfStatus(429, '')).toMatchObject({ blames: 'key', again: false });
    expect(failureOfStatus(401, '')).toMatchObject({ blames: 'key', again: false });
    expect(failureOfStatus(503, '')).toMatchObject({ blames: 'target', again: true });
  });

  test("an error inside a 200 that tells no status is the server's fault, a caller's own is not", () => {
    expect(failureOfInband(0, 'whatever')?.reason).toBe('server_error');
    expect(failureOfInband(529, 'overloaded_error')?.reason).toBe('server_error');
    expect(failureOfInband(400, 'invalid_request_error')).toBeNull();
    expect(failureOfInband(403, '403', '{"message":"requires moderation"}')?.reason).toBe(
      'refusal',
    );
    expect(failureOfInband(403, '403', '{"message":"no"}')?.reason).toBe('auth');
    expect(failureOfInband(400, 'insufficient_quota')?.reason).toBe('auth');
    expect(failureOfInband(400, 'context_length_exceeded')?.reason).toBe('context_length');
  });
});
