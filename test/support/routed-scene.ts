import { until } from './conditions.ts';
import { authorities, type Gateway, type LogLine, startGateway } from './gateway.ts';
import { facts, poolKeys, signingKeys, token } from './managed.ts';
import { type ScriptedUpstream, startUpstream, type Turn } from './scripted-upstream.ts';

/** What a provider does with one request. */
export type Act = (turn: Turn) => Promise<void> | void;

/** The wires of the default providers that a scene speaks. */
export type SceneWire = 'chat' | 'responses' | 'messages';

export const PATHS: Readonly<Record<SceneWire, string>> = {
  chat: '/v1/chat/completions',
  responses: '/v1/responses',
  messages: '/v1/messages',
};

const event = (data: object, name?: string): string =>
  `${name === undefined ? '' : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`;

/** Events of each wire, by what they are. */
export const EVENTS: Readonly<
  Record<
    SceneWire,
    {
      readonly opening: string;
      readonly word: (text: string) => string;
      readonly error: string;
      readonly end: string;
    }
  >
> = {
  chat: {
    opening: `: comment\n\n${event({ id: 'c', model: 'm', choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] })}`,
    word: (text) =>
      event({ id: 'c', model: 'm', choices: [{ index: 0, delta: { content: text } }] }),
    error: event({ error: { message: 'overloaded', type: 'overloaded_error', code: 529 } }),
    end:
      event({ id: 'c', model: 'm', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }) +
      event({
        id: 'c',
        model: 'm',
        choices: [],
        usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 },
      }) +
      'data: [DONE]\n\n',
  },
  responses: {
    opening:
      event({ type: 'response.created', response: { id: 'r', output: [] } }, 'response.created') +
      event({ type: 'response.in_progress', response: { id: 'r' } }, 'response.in_progress'),
    word: (text) =>
      event({ type: 'response.output_text.delta', delta: text }, 'response.output_text.delta'),
    error: event({ type: 'error', code: 'server_error', message: 'broken' }, 'error'),
    end: event(
      {
        type: 'response.completed',
        response: {
          id: 'r',
          model: 'm',
          output: [{}],
          usage: { input_tokens: 7, output_tokens: 3 },
        },
      },
      'response.completed',
    ),
  },
  messages: {
    opening:
      event(
        {
          type: 'message_start',
          message: { id: 'm', model: 'm', usage: { input_tokens: 7, output_tokens: 1 } },
        },
        'message_start',
      ) +
      event({ type: 'ping' }, 'ping') +
      event(
        { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
        'content_block_start',
      ),
    word: (text) =>
      event(
        { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } },
        'content_block_delta',
      ),
    error: event(
      { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } },
      'error',
    ),
    end:
      event({ type: 'content_block_stop', index: 0 }, 'content_block_stop') +
      event(
        { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 3 } },
        'message_delta',
      ) +
      event({ type: 'message_stop' }, 'message_stop'),
  },
};

const SSE = ['content-type: text/event-stream'];

/** A stream that goes well and says `text`. */
export function streams(wire: SceneWire, text: string): Act {
  return async (turn) => {
    await turn.bodyDone();
    await turn.stream(SSE);
    await turn.chunk(EVENTS[wire].opening);
    await turn.chunk(EVENTS[wire].word(text));
    await turn.chunk(EVENTS[wire].end);
    await turn.lastChunk();
  };
}

/** A stream of these chunks, ended well. */
export function streamsChunks(...chunks: readonly string[]): Act {
  return async (turn) => {
    await turn.bodyDone();
    await turn.stream(SSE);
    for (const chunk of chunks) await turn.chunk(chunk);
    await turn.lastChunk();
  };
}

/** A stream of these chunks that is cut behind them. */
export function cutsBehind(...chunks: readonly string[]): Act {
  return async (turn) => {
    await turn.bodyDone();
    await turn.stream(SSE);
    for (const chunk of chunks) await turn.chunk(chunk);
    turn.reset();
  };
}

/** A stream of these chunks behind which nothing comes any more. */
export function stallsBehind(...chunks: readonly string[]): Act {
  return async (turn) => {
    await turn.bodyDone();
    await turn.stream(SSE);
    for (const chunk of chunks) await turn.chunk(chunk);
  };
}

/** Never answers. */
export const silent: Act = () => {};

export const resets: Act = async (turn) => {
  await turn.bodyDone();
  turn.reset();
};

/** A whole answer. */
export function answers(status: number, body: string, fields: readonly string[] = []): Act {
  return async (turn) => {
    await turn.bodyDone();
    const lines = [
      `HTTP/1.1 ${status} Said`,
      'content-type: application/json',
      `content-length: ${Buffer.byteLength(body)}`,
      ...fields,
    ];
    await turn.write(`${lines.join('\r\n')}\r\n\r\n${body}`);
  };
}

export const WHOLE = JSON.stringify({
  id: 'c',
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', content: 'whole' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 },
});

/** One answer as a client saw it. */
export interface SceneAnswer {
  readonly status: number;
  readonly fields: Headers;
  readonly text: string;
  /** It did not end as a message. */
  readonly cut: boolean;
  readonly facts: readonly LogLine[];
}

/** Providers that do as they are told, and a gateway that routes among them. */
export class RoutedScene {
  readonly gateway: Gateway;
  readonly upstreams: Readonly<Record<string, ScriptedUpstream>>;
  readonly key = token();

  constructor(gateway: Gateway, upstreams: Readonly<Record<string, ScriptedUpstream>>) {
    this.gateway = gateway;
    this.upstreams = upstreams;
  }

  /** What each provider does from now on, one request after the other; the last act goes on. */
  plays(acts: Readonly<Record<string, Act | readonly Act[]>>): void {
    for (const [name, upstream] of Object.entries(this.upstreams)) {
      upstream.requests.length = 0;
      const list = [acts[name] ?? answers(599, 'not asked for')].flat();
      let at = 0;
      upstream.script = async (turn) => {
        const act = list[Math.min(at++, list.length - 1)];
        await act?.(turn);
      };
    }
  }

  /** How often each provider was asked. */
  get asked(): Readonly<Record<string, number>> {
    return Object.fromEntries(
      Object.entries(this.upstreams)
        .map(([name, { requests }]) => [name, requests.length] as const)
        .filter(([, count]) => count > 0),
    );
  }

  async ask(
    model: string,
    {
      wire = 'chat',
      stream = true,
      path = PATHS[wire],
      fields = {},
      body,
    }: {
      readonly wire?: SceneWire;
      readonly stream?: boolean;
      readonly path?: string;
      readonly fields?: Readonly<Record<string, string>>;
      readonly body?: string;
    } = {},
  ): Promise<SceneAnswer> {
    const response = await fetch(`http://127.0.0.1:${this.gateway.port}${path}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: `Bearer ${this.key}`,
        ...fields,
      },
      body:
        body ??
        JSON.stringify({
          model,
          stream,
          ...(stream && wire === 'chat' ? { stream_options: { include_usage: true } } : {}),
          messages: [{ role: 'user', content: 'hi' }],
        }),
    });
    let text = '';
    let cut = false;
    try {
      for await (const piece of response.body ?? []) text += Buffer.from(piece).toString('latin1');
    } catch {
      cut = true;
    }
    const id = response.headers.get('x-sluice-request-id');
    await this.gateway.waitForLog(
      (line) => line['event'] === 'access' && line['request_id'] === id,
    );
    const own = await until('every fact that was counted', async () => {
      const metrics = await this.gateway.idle();
      const counted = ['reported', 'estimated', 'none'].map((source) =>
        metrics.get(`ai_usage_facts_total{source="${source}"}`),
      );
      const seen = facts(this.gateway);
      return (
        seen.length === counted.reduce((sum, count) => sum + count, 0) &&
        seen.filter((fact) => fact['request_id'] === id)
      );
    });
    return { status: response.status, fields: response.headers, text, cut, facts: own };
  }

  async stop(): Promise<void> {
    await this.gateway.stop();
    for (const upstream of Object.values(this.upstreams)) await upstream.close();
  }
}

/** @param config TOML with the routes, put behind providers, keys and what a test needs to be quick */
export async function startRoutedScene(
  names: readonly string[],
  config: string,
  keys: Readonly<Record<string, readonly string[]>> = {},
  workers = 1,
  nodeArgs: readonly string[] = [],
): Promise<RoutedScene> {
  const upstreams: Record<string, ScriptedUpstream> = {};
  for (const name of names) upstreams[name] = await startUpstream(silent, { keepBodies: true });
  const ports = Object.fromEntries(names.map((name) => [name, upstreams[name]?.port ?? 0]));
  const pool = Object.fromEntries(
    names
      .map((name) => [name, keys[name] ?? [`sk-${name}-pool`]] as const)
      .filter(([, own]) => own.length > 0),
  );
  const scalars = config.slice(0, config.indexOf('['));
  const tables = config.slice(config.indexOf('['));
  const gateway = await startGateway({
    config: `workers = ${workers}\naccess_log = true\n${scalars}\n${authorities(ports)}${poolKeys(pool)}${signingKeys()}${tables}`,
    nodeArgs,
  });
  return new RoutedScene(gateway, upstreams);
}
