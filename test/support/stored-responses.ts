import type { Act } from './routed-scene.ts';
import type { Turn } from './scripted-upstream.ts';

interface Stored {
  /** Until a background answer has ended. */
  looksLeft: number;
}

const JSON_HEAD = 'content-type: application/json';

/** A provider's accounts, one behind each pool key: what one stored, no other one knows. */
export class ResponseAccounts {
  readonly #stored = new Map<string, Map<string, Stored>>();
  /** How often a background answer is looked at before it has ended. */
  looks = 1;
  /** What a background answer ends as. */
  end = 'completed';
  readonly #prefix: string;
  #count = 0;

  /** @param prefix of the ids that are issued */
  constructor(prefix = 'resp_') {
    this.#prefix = prefix;
  }

  /** Responses under `/responses`: made, streamed, retrieved, deleted, cancelled; their inputs listed. */
  readonly act: Act = async (turn) => {
    await turn.bodyDone();
    // It left before it was whole.
    if (!turn.request.bodyDone) return;
    const { method, target } = turn.request;
    const account = this.#accountOf(turn);
    const [path = ''] = target.split('?');
    const [, id, rest] = /\/responses\/([^/]+)(\/.*)?$/.exec(path) ?? [];
    if (id === undefined) await this.#made(turn, account);
    else if (!account.has(id))
      await reply(turn, 404, { error: { message: 'not in this account' } });
    else if (rest === '/input_items')
      await reply(turn, 200, { object: 'list', data: [{ id: 'msg_1' }], has_more: false });
    else if (method === 'DELETE') {
      account.delete(id);
      await reply(turn, 200, { id, object: 'response', deleted: true });
    } else await reply(turn, 200, this.#seen(id, account.get(id), rest === '/cancel'));
  };

  /** Whoever looks finds it at its end. */
  cancelled(id: string): void {
    for (const account of this.#stored.values())
      if (account.has(id)) account.set(id, { looksLeft: 0 });
  }

  /** As if it had never been. */
  forget(id: string): void {
    for (const account of this.#stored.values()) account.delete(id);
  }

  #seen(id: string, stored: Stored | undefined, isCancel: boolean): object {
    if (isCancel) return responseOf(id, 'cancelled');
    if (stored === undefined || stored.looksLeft === 0) return responseOf(id, this.end);
    stored.looksLeft--;
    return { ...responseOf(id, 'in_progress'), usage: null };
  }

  #accountOf(turn: Turn): Map<string, Stored> {
    const key = turn.request.field('authorization') ?? '';
    const known = this.#stored.get(key) ?? new Map<string, Stored>();
    this.#stored.set(key, known);
    return known;
  }

  async #made(turn: Turn, account: Map<string, Stored>): Promise<void> {
    const body = JSON.parse(turn.request.body.toString()) as {
      readonly previous_response_id?: string;
      readonly stream?: boolean;
      readonly store?: boolean;
      readonly background?: boolean;
    };
    const before = body.previous_response_id;
    if (before !== undefined && !account.has(before)) {
      await reply(turn, 404, { error: { message: 'not in this account' } });
      return;
    }
    const id = `${this.#prefix}${++this.#count}`;
    const isBackground = body.background === true;
    if (body.store !== false) account.set(id, { looksLeft: isBackground ? this.looks : 0 });
    if (body.stream !== true) {
      const made = responseOf(id, isBackground ? 'queued' : 'completed');
      await reply(turn, 200, isBackground ? { ...made, usage: null } : made);
      return;
    }
    await turn.stream(['content-type: text/event-stream']);
    const event = (type: string, response: object): string =>
      `event: ${type}\ndata: ${JSON.stringify({ type, response })}\n\n`;
    await turn.chunk(event('response.created', { ...responseOf(id, 'in_progress'), usage: null }));
    // Its caller leaves before more of it comes.
    if (isBackground) return;
    await turn.chunk(event('response.completed', responseOf(id, 'completed')));
    await turn.lastChunk();
  }
}

function responseOf(id: string, status: string): object {
  const usage = { input_tokens: 5, output_tokens: 2, total_tokens: 7 };
  return { id, object: 'response', status, model: 'm', output: [], usage };
}

async function reply(turn: Turn, status: number, body: object): Promise<void> {
  const text = JSON.stringify(body);
  await turn.write(
    `HTTP/1.1 ${status} Said\r\n${JSON_HEAD}\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
}
