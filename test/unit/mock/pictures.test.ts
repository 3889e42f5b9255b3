import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { pictureWord } from '../../../src/mock/pictures.ts';
import { say } from '../../../src/mock/said.ts';

const BYTES = Buffer.from('no picture, but bytes all the same');
const DATA = BYTES.toString('base64');
const WORD = `image/png:${BYTES.length}:${createHash('sha256').update(BYTES).digest('hex').slice(0, 8)}`;
const DATA_URL = `data:image/png;base64,${DATA}`;

const SPELLINGS: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ['OpenAI chat', { type: 'image_url', image_url: { url: DATA_URL, detail: 'low' } }],
  ['OpenAI Responses', { type: 'input_image', image_url: DATA_URL }],
  ['Anthropic', { type: 'image', source: { type: 'base64', media_type: 'image/png', data: DATA } }],
];

describe('the mock names the pictures it was shown', () => {
  it.each(SPELLINGS)('%s: media type, bytes and hash', (_, part) => {
    expect(pictureWord(part)).toBe(WORD);
  });

  it.each(SPELLINGS)('%s: among the words of the answer', (_, part) => {
    const content = [{ type: 'text', text: 'Describe.' }, part];
    const { text } = say({ messages: [{ role: 'user', content }] });
    expect(text).toMatch(new RegExp(`^You said: Describe\\. ${WORD}`));
  });

  it('a picture elsewhere is named by its address', () => {
    const url = 'https://example.com/a.png';
    const part = { type: 'image', source: { type: 'url', url } };
    expect(pictureWord(part)).toMatch(/^image\/url:25:[0-9a-f]{8}$/);
  });

  it.each([
    [{ type: 'text', text: 'image' }],
    [{ type: 'image_url' }],
    [{ type: 'image', source: {} }],
    [{}],
  ])('%j is no picture', (part) => {
    expect(pictureWord(part)).toBeNull();
  });
});
