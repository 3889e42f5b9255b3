import { describe, expect, it } from 'vitest';
import { AnswerIds } from '../../../src/wire/answer-ids.ts';

function idsOf(text: string, cut = text.length): readonly string[] {
  const found: string[] = [];
  const ids = new AnswerIds((id) => found.push(id));
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += cut) ids.push(bytes.subarray(at, at + cut));
  return found;
}

const CREATED = {
  type: 'response.created',
  response: { id: 'resp_1', metadata: { id: 'resp_theirs' }, tools: [{ id: 'no' }] },
};
const STREAM = `: hello\n\nevent: ping\ndata: {"type":"ping"}\n\nevent: response.created\ndata: ${JSON.stringify(CREATED)}\n\ndata: ${JSON.stringify({ type: 'x', response: { id: 'resp_later' } })}\n\n`;

describe('the ids of what an answer has stored', () => {
  it.each([1, 2, 7, 64, 10_000])('are told of a JSON answer cut every %i bytes', (cut) => {
    const answer = {
      output: [{ id: 'msg_1' }],
      metadata: { id: 'resp_theirs' },
      id: 'resp_1',
      conversation: { id: 'conv_1' },
    };
    expect(idsOf(JSON.stringify(answer), cut)).toEqual(['resp_1', 'conv_1']);
    expect(idsOf(`\n  ${JSON.stringify(answer)}`, cut)).toEqual(['resp_1', 'conv_1']);
  });

  it.each([
    1, 2, 7, 64, 10_000,
  ])('are told of the first event that has one, cut every %i bytes', (cut) => {
    expect(idsOf(STREAM, cut)).toEqual(['resp_1']);
    expect(idsOf(STREAM.replaceAll('\n', '\r\n'), cut)).toEqual(['resp_1']);
  });

  it('are none of an answer that names none', () => {
    expect(idsOf('{"object":"response.compaction"}')).toEqual([]);
    expect(idsOf('')).toEqual([]);
  });
});
