import type { ReplyTerms } from '../answer.ts';
import type { Maker } from '../conversation.ts';
import { JsonDepth } from '../json-depth.ts';
import { listIn, parsedObject, textIn } from '../json-values.ts';
import { KeptText } from '../kept-text.ts';
import { shortHash } from '../wire-names.ts';
import { itemId } from './item-ids.ts';
import { sealedContent } from './sealed-thoughts.ts';
import type { ItemStatus, MessageItem, OutputItem, ResponseEvent } from './shapes.ts';
import { FREE_INPUT, type OwnTool, ownTools } from './tool-reader.ts';

/** Who hears what becomes of items. */
export interface ItemEvents {
  tell(event: ResponseEvent): void;
}

/** Text, a refusal or a thought that is being told: one at a time. */
interface OpenText {
  readonly kind: 'text' | 'refusal' | 'thought';
  readonly id: string;
  readonly index: number;
  readonly kept: KeptText;
}

interface OpenCall {
  readonly id: string;
  readonly index: number;
  readonly callId: string;
  readonly tool: OwnTool;
  readonly depth: JsonDepth;
  readonly kept: KeptText;
  isClosed: boolean;
}

/**
 * The items of an answer as they come, each with its beginning, its pieces and its end. One text is open at a time; a call
 * whose arguments are not whole when the next item begins stays open, since vendors may tell calls interleaved.
 */
export class OutputItems {
  readonly #terms: ReplyTerms;
  readonly #events: ItemEvents | null;
  readonly #answerHash: string;
  readonly #ownTools: ReadonlyMap<string, OwnTool>;
  /** By output index; null while it is open. */
  readonly #items: (OutputItem | null)[] = [];
  #open: OpenText | null = null;
  /** By ordinal. */
  readonly #calls: OpenCall[] = [];

  /** @param events null: only the items are wanted */
  constructor(terms: ReplyTerms, events: ItemEvents | null) {
    this.#terms = terms;
    this.#events = events;
    this.#answerHash = shortHash(terms.id);
    this.#ownTools = ownTools(listIn(terms.echoed ?? {}, 'tools'));
  }

  text(text: string): void {
    const { id, index } = this.#opened('text', text);
    this.#events?.tell({
      type: 'response.output_text.delta',
      item_id: id,
      output_index: index,
      content_index: 0,
      delta: text,
      logprobs: [],
    });
  }

  refusal(text: string): void {
    const { id, index } = this.#opened('refusal', text);
    this.#events?.tell({
      type: 'response.refusal.delta',
      item_id: id,
      output_index: index,
      content_index: 0,
      delta: text,
    });
  }

  thought(text: string): void {
    const { id, index } = this.#opened('thought', text);
    this.#events?.tell({
      type: 'response.reasoning_summary_text.delta',
      item_id: id,
      output_index: index,
      summary_index: 0,
      delta: text,
    });
  }

  /** The thought so far is over, and this proves it; one may come without any text. */
  sealed(maker: Maker, data: string): void {
    if (this.#open?.kind === 'thought') {
      const sealed = sealedContent(maker, this.#open.kept.toString(), data);
      this.#closeThought(this.#open, sealed);
      this.#open = null;
    } else this.#hidden(sealedContent(maker, '', data));
  }

  redacted(maker: Maker, data: string): void {
    this.#hidden(sealedContent(maker, null, data));
  }

  /** A thought of which nothing is shown. */
  #hidden(sealed: string): void {
    this.#closeFinished();
    const { id, index } = this.#placed('rs');
    const item = { id, type: 'reasoning', summary: [] } as const;
    this.#added(index, { ...item, summary: [] });
    this.#done(index, { ...item, summary: [], encrypted_content: sealed });
  }

  call(ordinal: number, id: string, name: string): void {
    this.#closeFinished();
    const asked = this.#terms.toolNames.get(name) ?? name;
    const tool = this.#ownTools.get(asked) ?? { namespace: null, name: asked, isFree: false };
    const call: OpenCall = {
      ...this.#placed(tool.isFree ? 'ctc' : 'fc'),
      callId: id === '' ? `${this.#terms.id}-${ordinal}` : id,
      tool,
      depth: new JsonDepth(),
      kept: new KeptText(),
      isClosed: false,
    };
    this.#calls[ordinal] = call;
    this.#added(call.index, callItem(call, '', 'in_progress'));
  }

  input(ordinal: number, text: string): void {
    const call = this.#calls[ordinal];
    if (call === undefined || call.isClosed || text === '') return;
    call.kept.append(text);
    call.depth.push(text);
    // Of text as it is nothing can be told before its JSON is whole.
    if (!call.tool.isFree) this.#tellInput(call, text);
  }

  /** @param status of what is still open */
  end(status: 'completed' | 'incomplete'): OutputItem[] {
    this.#closeOpen(status);
    for (const call of this.#calls)
      this.#closeCall(call, call.depth.isWhole ? 'completed' : status);
    return this.#items.filter((item) => item !== null);
  }

  // ---- their lives -----------------------------------------------------------------------------------------------------

  #placed(prefix: 'msg' | 'rs' | 'fc' | 'ctc'): { readonly id: string; readonly index: number } {
    const index = this.#items.push(null) - 1;
    return { id: itemId(prefix, this.#answerHash, index), index };
  }

  #opened(kind: OpenText['kind'], text: string): OpenText {
    if (this.#open?.kind !== kind) this.#open = this.#begun(kind);
    this.#open.kept.append(text);
    return this.#open;
  }

  #begun(kind: OpenText['kind']): OpenText {
    this.#closeFinished();
    const { id, index } = this.#placed(kind === 'thought' ? 'rs' : 'msg');
    const open: OpenText = { kind, id, index, kept: new KeptText() };
    const of = { item_id: id, output_index: index };
    if (kind === 'thought') {
      this.#added(index, { id, type: 'reasoning', summary: [] });
      const part = { type: 'summary_text', text: '' } as const;
      const type = 'response.reasoning_summary_part.added';
      this.#events?.tell({ type, ...of, summary_index: 0, part });
    } else {
      this.#added(index, { ...messageItem(open, '', 'in_progress'), content: [] });
      const part = contentPart(open, '');
      this.#events?.tell({ type: 'response.content_part.added', ...of, content_index: 0, part });
    }
    return open;
  }

  /** Before another item: what is open is over, and so are calls whose arguments are whole. */
  #closeFinished(): void {
    this.#closeOpen('completed');
    for (const call of this.#calls) if (call.depth.isWhole) this.#closeCall(call, 'completed');
  }

  #closeOpen(status: ItemStatus): void {
    const open = this.#open;
    this.#open = null;
    if (open === null) return;
    if (open.kind === 'thought') this.#closeThought(open, null);
    else this.#closeMessage(open, status);
  }

  #closeThought({ id, index, kept }: OpenText, sealed: string | null): void {
    const text = kept.toString();
    const of = { item_id: id, output_index: index, summary_index: 0 } as const;
    const part = { type: 'summary_text', text } as const;
    this.#events?.tell({ type: 'response.reasoning_summary_text.done', ...of, text });
    this.#events?.tell({ type: 'response.reasoning_summary_part.done', ...of, part });
    const item = { id, type: 'reasoning', summary: [part] } as const;
    const seal = sealed === null ? {} : { encrypted_content: sealed };
    this.#done(index, { ...item, summary: [part], ...seal });
  }

  #closeMessage(open: OpenText, status: ItemStatus): void {
    const { id, index } = open;
    const text = open.kept.toString();
    const of = { item_id: id, output_index: index, content_index: 0 } as const;
    if (open.kind === 'text')
      this.#events?.tell({ type: 'response.output_text.done', ...of, text, logprobs: [] });
    else this.#events?.tell({ type: 'response.refusal.done', ...of, refusal: text });
    this.#events?.tell({
      type: 'response.content_part.done',
      ...of,
      part: contentPart(open, text),
    });
    this.#done(index, messageItem(open, text, status));
  }

  #closeCall(call: OpenCall, status: ItemStatus): void {
    if (call.isClosed) return;
    call.isClosed = true;
    const of = { item_id: call.id, output_index: call.index };
    const kept = call.kept.toString();
    if (call.tool.isFree) {
      const input = freeInput(kept);
      this.#events?.tell({ type: 'response.custom_tool_call_input.delta', ...of, delta: input });
      this.#events?.tell({ type: 'response.custom_tool_call_input.done', ...of, input });
    } else {
      if (kept === '') this.#tellInput(call, NO_ARGUMENTS);
      const input = kept || NO_ARGUMENTS;
      this.#events?.tell({
        type: 'response.function_call_arguments.done',
        ...of,
        arguments: input,
      });
    }
    this.#done(call.index, callItem(call, kept, status));
  }

  #tellInput({ id, index }: OpenCall, delta: string): void {
    const type = 'response.function_call_arguments.delta';
    this.#events?.tell({ type, item_id: id, output_index: index, delta });
  }

  #added(index: number, item: OutputItem): void {
    this.#events?.tell({ type: 'response.output_item.added', output_index: index, item });
  }

  #done(index: number, item: OutputItem): void {
    this.#items[index] = item;
    this.#events?.tell({ type: 'response.output_item.done', output_index: index, item });
  }
}

const NO_ARGUMENTS = '{}';

function contentPart({ kind }: OpenText, text: string): MessageItem['content'][number] {
  if (kind === 'refusal') return { type: 'refusal', refusal: text };
  return { type: 'output_text', text, annotations: [], logprobs: [] };
}

function messageItem(open: OpenText, text: string, status: ItemStatus): MessageItem {
  const content = [contentPart(open, text)];
  return { id: open.id, type: 'message', role: 'assistant', status, content };
}

/** An open one has said nothing so far. */
function callItem(
  { id, callId, tool: { namespace, name, isFree }, isClosed }: OpenCall,
  input: string,
  status: ItemStatus,
): OutputItem {
  const of = { id, call_id: callId, name, ...(namespace === null ? {} : { namespace }) };
  if (isFree) return { type: 'custom_tool_call', ...of, input: freeInput(input) };
  const told = isClosed ? input || NO_ARGUMENTS : '';
  return { type: 'function_call', ...of, arguments: told, status };
}

/** What a tool of free text was given as its one argument; what does not parse was cut, and is told as it stands. */
function freeInput(input: string): string {
  return textIn(parsedObject(input) ?? {}, FREE_INPUT) ?? input;
}
