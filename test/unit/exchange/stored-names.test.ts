import { Buffer } from 'node:buffer';
import { describe, expect, test } from 'vitest';
import { leadsElsewhere } from '../../../src/exchange/stored-names.ts';

const leads = (body: object): boolean => leadsElsewhere(Buffer.from(JSON.stringify(body)));
const asked = (...content: readonly object[]): object => ({ messages: [{ content }] });
const part = (value: object): object => ({ contents: [{ parts: [{ text: 'x' }, value] }] });

describe('a body that leads to what is kept elsewhere', () => {
  test.each<readonly [string, object]>([
    ['a file of a chat', asked({ type: 'file', file: { file_id: 'f' } })],
    ['a document of a message', asked({ type: 'document', source: { file_id: 'f' } })],
    ['a document of its system', { system: [{ type: 'document', source: { file_id: 'f' } }] }],
    ['a file of Google’s', part({ fileData: { fileUri: 'files/f' } })],
    ['the same, spelled otherwise', part({ file_data: { file_uri: 'files/f' } })],
    [
      'a file beside the contents',
      { systemInstruction: { parts: [{ fileData: { fileUri: 'f' } }] } },
    ],
    ['an item that is kept', { input: [{ type: 'item_reference', id: 'msg_1' }] }],
    ['an earlier sound', { messages: [{ role: 'assistant', audio: { id: 'a' } }] }],
    ['stores that are searched', { tools: [{ type: 'file_search', vector_store_ids: ['v'] }] }],
    ['the assistants’ stores', { tool_resources: { file_search: { vector_store_ids: ['v'] } } }],
    ['sealed thoughts', part({ thoughtSignature: 's' })],
  ])('%s', (_what, body) => {
    expect(leads(body)).toBe(true);
  });

  test.each<readonly [string, object]>([
    ['words', asked({ type: 'text', text: 'file_id' })],
    ['its own bytes', part({ inlineData: { data: 'AAAA', mimeType: 'image/png' } })],
    ['items of its own', { input: [{ type: 'message', id: 'msg_1', content: [{ text: 'x' }] }] }],
    ['a tool of its own', { tools: [{ type: 'function', name: 'f' }] }],
  ])('%s does not', (_what, body) => {
    expect(leads(body)).toBe(false);
  });
});
