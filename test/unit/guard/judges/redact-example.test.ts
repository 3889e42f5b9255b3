import { describe, expect, it } from 'vitest';
import redact from '../../../../deploy/guards/redact.ts';

describe('deploy/guards/redact.ts', () => {
  it.each([
    ['mail ada@analytical.example now', 'mail [email] now'],
    ['call +49 30 901820 or (030) 90 18 20-0', 'call [phone] or ([phone]'],
    ['a.b+c@d-e.co.uk, 555-123-4567', '[email], [phone]'],
    ['order 12345 of 2026', 'order 12345 of 2026'],
    ['no@domain and @nobody', 'no@domain and @nobody'],
  ])('makes of %j %j, of prompts and answers', (text, said) => {
    expect(redact.request(text)).toBe(said);
    expect(redact.response(text)).toBe(said);
  });
});
