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

  it('are those of containers and of what they wrote too, where a tool was asked for that leaves them', () => {
    const found = (text: string, mayHaveContainers: boolean): readonly string[] => {
      const all: string[] = [];
      new AnswerIds((id) => all.push(id), mayHaveContainers).push(Buffer.from(text));
      return all;
    };
    const item = { type: 'code_interpreter_call', container_id: 'cntr_1' };
    const event = (data: object) => `data: ${JSON.stringify(data)}\n\n`;
    const cited = { type: 'container_file_citation', container_id: 'cntr_1', file_id: 'cfile_1' };
    const openai =
      event({ type: 'response.created', response: { id: 'resp_1' } }) +
      event({ type: 'response.output_item.done', item }) +
      event({ type: 'response.output_text.annotation.added', annotation: cited });
    expect(found(openai, false)).toEqual(['resp_1']);
    expect(found(openai, true)).toEqual(['resp_1', 'cntr_1', 'cntr_1', 'cfile_1']);
    const result = { type: 'bash_code_execution_result', content: [{ file_id: 'file_1' }] };
    const block = { type: 'bash_code_execution_tool_result', content: result };
    const anthropic =
      event({ type: 'message_start', message: { id: 'msg_1', container: { id: 'container_1' } } }) +
      event({ type: 'content_block_start', content_block: block }) +
      event({ type: 'message_delta', delta: { container: { id: 'container_1' } } });
    expect(found(anthropic, true)).toEqual(['container_1', 'file_1', 'container_1']);
    const whole = { id: 'msg_1', container: { id: 'container_1' }, content: [block] };
    expect(found(JSON.stringify(whole), true)).toEqual(['msg_1', 'container_1', 'file_1']);
  });

  it('are none of an answer that names none', () => {
    expect(idsOf('{"object":"response.compaction"}')).toEqual([]);
    expect(idsOf('')).toEqual([]);
  });
});
