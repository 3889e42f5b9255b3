import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI, { APIError } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { authorities, type Gateway, type LogLine, startGateway } from '../support/gateway.ts';
import { factOf, facts, poolKeys, signingKeys, token } from '../support/managed.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { ResponseAccounts } from '../support/stored-responses.ts';

const OTHER = token({ tenantId: 43n });
const KEYS = ['sk-openai-one-pool', 'sk-openai-two-pool', 'sk-openai-three-pool'];

let openai: ScriptedUpstream;
let xai: ScriptedUpstream;
let gateway: Gateway;
let folder: string;

const config = (workers: number, more = ''): string =>
  `workers = ${workers}\ndata_dir = "${folder}"\n${more}` +
  authorities({ openai: openai.port, xai: xai.port }) +
  poolKeys({ openai: KEYS, xai: 'sk-xai-pool' }) +
  signingKeys() +
  '[routes.chat]\ntargets = ["openai/gpt-5"]\nfallbacks = ["xai/grok"]\n';

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-state-'));
  openai = await startUpstream(new ResponseAccounts().act, { keepBodies: true });
  xai = await startUpstream(new ResponseAccounts('xai-').act, { keepBodies: true });
  gateway = await startGateway({ config: config(2) });
});
afterAll(async () => {
  await gateway.stop();
  await openai.close();
  await xai.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A stock client; each call on a connection of its own, so that both workers are met. */
function client(apiKey = token(), base = '/v1'): OpenAI {
  return new OpenAI({
    apiKey,
    baseURL: `${gateway.origin}${base}`,
    maxRetries: 0,
    defaultHeaders: { connection: 'close' },
  });
}

async function statusOf(call: Promise<unknown>): Promise<number | undefined> {
  try {
    await call;
    return 200;
  } catch (error) {
    return (error as APIError).status;
  }
}

const PATHS = ['/v1', '/openai/v1', ''] as const;

describe.each(PATHS)('through %j a response that is stored', (base) => {
  it('is gone on with, turn by turn, at the account that has it', async () => {
    const own = client(token(), base);
    const streamed = await own.responses.create({ model: 'gpt-5', input: 'a', stream: true });
    let last = '';
    for await (const event of streamed)
      if (event.type === 'response.created') last = event.response.id;
    for (let turn = 0; turn < 12; turn++) {
      const next = await own.responses.create({
        model: 'gpt-5',
        input: 'b',
        previous_response_id: last,
      });
      last = next.id;
    }
    expect(last).toMatch(/^resp_/);
  });

  it('is retrieved, listed, cancelled and deleted', async () => {
    const own = client(token(), base);
    const { id } = await own.responses.create({ model: 'gpt-5', input: 'a' });
    expect((await own.responses.retrieve(id)).id).toBe(id);
    expect((await own.responses.inputItems.list(id)).data).toHaveLength(1);
    expect((await own.responses.cancel(id)).status).toBe('cancelled');
    await own.responses.delete(id);
    expect(await statusOf(own.responses.retrieve(id))).toBe(404);
  });

  it('is 404 to another tenant, as one that nobody made is, and no provider is asked', async () => {
    const { id } = await client(token(), base).responses.create({ model: 'gpt-5', input: 'a' });
    const foreign = client(OTHER, base);
    const asked = openai.requests.length;
    const told = async (call: (id: string) => Promise<unknown>): Promise<void> => {
      for (const one of [id, 'resp_nobody', 'resp_%31', 'x']) {
        const error = await call(one).catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(APIError);
        expect((error as APIError).status).toBe(404);
        if (one === 'resp_%31') continue;
        expect((error as APIError).code).toBe('state_not_found');
      }
    };
    await told((one) => foreign.responses.retrieve(one));
    await told((one) => foreign.responses.delete(one));
    await told((one) => foreign.responses.cancel(one));
    await told(async (one) => await foreign.responses.inputItems.list(one));
    expect(
      await statusOf(
        foreign.responses.create({ model: 'gpt-5', input: 'a', previous_response_id: id }),
      ),
    ).toBe(404);
    expect(openai.requests.length).toBe(asked);
  });
});

describe('stored state', () => {
  it('keeps a request from falling over to another provider, and to another account', async () => {
    const own = client();
    const { id } = await own.responses.create({ model: 'chat', input: 'a' });
    const script = openai.script;
    const asked = xai.requests.length;
    const used = new Set<string | undefined>();
    openai.script = async (turn) => {
      await turn.bodyDone();
      used.add(turn.request.field('authorization'));
      await turn.write(
        'HTTP/1.1 500 No\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}',
      );
    };
    try {
      const status = await statusOf(
        own.responses.create({ model: 'chat', input: 'b', previous_response_id: id }),
      );
      expect(status).toBe(500);
      expect(used.size).toBe(1);
      expect(xai.requests.length).toBe(asked);
      // So does what only its maker's account can open, wherever that is.
      used.clear();
      const sealed = {
        type: 'reasoning' as const,
        id: 'rs_1',
        summary: [],
        encrypted_content: 'gAAAA',
      };
      expect(await statusOf(own.responses.create({ model: 'chat', input: [sealed] }))).toBe(500);
      expect(used.size).toBe(1);
      expect(xai.requests.length).toBe(asked);
      // Without it the same request is answered.
      expect(await statusOf(own.responses.create({ model: 'chat', input: 'b' }))).toBe(200);
      expect(xai.requests.length).toBeGreaterThan(asked);
    } finally {
      openai.script = script;
    }
    await gateway.reload(config(2).replace('gpt-5', 'gpt-5-again'));
  });

  it('at another provider than the default one is found by its id, unless the path says where', async () => {
    const own = client();
    const { id } = await own.responses.create({ model: 'xai/grok', input: 'a' });
    expect((await own.responses.retrieve(id)).id).toBe(id);
    expect(await statusOf(client(token(), '/openai/v1').responses.retrieve(id))).toBe(404);
    expect(
      await statusOf(
        own.responses.create({ model: 'openai/gpt-5', input: 'b', previous_response_id: id }),
      ),
    ).toBe(400);
    expect(
      await statusOf(own.responses.create({ model: 'chat', input: 'b', previous_response_id: id })),
    ).toBe(200);
  });

  it('named behind a large input in a body that comes in pieces is looked up before its end', async () => {
    const own = client(token(), '/openai/v1');
    const input = 'x'.repeat(3_000_000);
    const { id } = await own.responses.create({ model: 'gpt-5', input: 'a' });
    expect(
      await statusOf(own.responses.create({ model: 'gpt-5', input, previous_response_id: id })),
    ).toBe(200);
    for (const base of PATHS) {
      const foreign = client(OTHER, base);
      const whole = openai.requests.filter(({ bodyDone }) => bodyDone).length;
      expect(
        await statusOf(
          foreign.responses.create({ model: 'gpt-5', input, previous_response_id: id }),
        ),
      ).toBe(404);
      expect(openai.requests.filter(({ bodyDone }) => bodyDone).length).toBe(whole);
    }
    // What was taken back before it was whole is billed by nobody.
    await gateway.idle();
    const refused = facts(gateway).filter((fact) => fact['tenant_id'] === '43');
    expect(refused).toEqual([]);
  });

  it('that was not to be stored is not remembered', async () => {
    const own = client();
    const { id } = await own.responses.create({ model: 'gpt-5', input: 'a', store: false });
    expect(await statusOf(own.responses.retrieve(id))).toBe(404);
  });

  it('outlives the process, and a reload', async () => {
    const ids: string[] = [];
    for (let at = 0; at < 8; at++)
      ids.push((await client().responses.create({ model: 'gpt-5', input: 'a' })).id);
    await gateway.reload(config(2));
    for (const id of ids) expect(await statusOf(client().responses.retrieve(id))).toBe(200);
    gateway.signal('SIGTERM');
    expect((await gateway.exited).code).toBe(0);
    gateway = await startGateway({ config: config(1) });
    for (const id of ids) {
      expect(await statusOf(client().responses.retrieve(id))).toBe(200);
      expect(await statusOf(client(OTHER).responses.retrieve(id))).toBe(404);
    }
    expect((await gateway.metrics()).get('ai_stored_state_entries')).toBeGreaterThanOrEqual(8);
  });

  it("that nobody is known to have made goes through where foreign_state allows it, another tenant's does not", async () => {
    const { id } = await client().responses.create({ model: 'gpt-5', input: 'a' });
    await gateway.reload(config(1, 'foreign_state = "allow"\n'));
    const asked = openai.requests.length;
    await statusOf(client().responses.retrieve('resp_of_before'));
    await statusOf(
      client().responses.create({
        model: 'gpt-5',
        input: 'b',
        previous_response_id: 'resp_of_before',
      }),
    );
    expect(openai.requests.length).toBe(asked + 2);
    const foreign = client(OTHER);
    const error = await foreign.responses.retrieve(id).catch((thrown: unknown) => thrown);
    expect((error as APIError).code).toBe('state_not_found');
    expect(
      await statusOf(
        foreign.responses.create({ model: 'gpt-5', input: 'b', previous_response_id: id }),
      ),
    ).toBe(404);
    expect(openai.requests.length).toBe(asked + 2);
    await gateway.reload(config(1));
  });
});

describe('what only the account that made it can open (F10)', () => {
  it.each([
    ['/openai/v1', 'gpt-5'],
    ['/v1', 'gpt-5'],
    ['/v1', 'openai/gpt-5'],
    ['/v1', 'chat'],
  ])('goes back there turn by turn, through %s as %s', async (base, model) => {
    const own = client(token(), base);
    const from = openai.requests.length;
    // Nothing of it is stored: the conversation lives in what is sent again, its reasoning sealed.
    const reasoning = { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'gAAAA' };
    const input: OpenAI.Responses.ResponseInput = [{ role: 'user', content: 'a' }];
    for (let turn = 0; turn < 8; turn++) {
      await own.responses.create({ model, input, store: false });
      input.push(reasoning as OpenAI.Responses.ResponseReasoningItem);
      // It grows to what is told by its beginning.
      input.push({ role: 'user', content: 'b'.repeat(turn === 4 ? 8_192 : 1) });
    }
    const asked = openai.requests.slice(from);
    expect(asked).toHaveLength(8);
    expect(new Set(asked.map((request) => request.field('authorization'))).size).toBe(1);
  });
});

describe('a container that code was run in, and a file that it wrote', () => {
  it.each(['/v1', '/openai/v1'])("are the tenant's whose answer brought them: %s", async (base) => {
    const container = `cntr_of${base.replaceAll('/', '_')}`;
    const item = { type: 'code_interpreter_call', id: 'ci_1', container_id: container };
    const script = openai.script;
    openai.script = async (turn) => {
      await turn.bodyDone();
      await turn.stream(['content-type: text/event-stream']);
      for (const data of [
        { type: 'response.created', response: { id: `resp_c${base}` } },
        { type: 'response.output_item.done', output_index: 0, item },
        {
          type: 'response.completed',
          response: { id: 'r', output: [item], usage: { input_tokens: 1, output_tokens: 1 } },
        },
      ])
        await turn.chunk(`data: ${JSON.stringify(data)}\n\n`);
      await turn.lastChunk();
    };
    try {
      const ask = async (
        key: string,
        name: string | { type: 'auto' },
      ): Promise<number | undefined> =>
        await statusOf(
          client(key, base)
            .responses.create({
              model: 'gpt-5',
              input: 'x',
              stream: true,
              tools: [{ type: 'code_interpreter', container: name }],
            })
            .then(async (events) => {
              for await (const _ of events);
            }),
        );
      expect(await ask(token(), container)).toBe(404);
      expect(await ask(token(), { type: 'auto' })).toBe(200);
      expect(await ask(token(), container)).toBe(200);
      expect(await ask(OTHER, container)).toBe(404);
    } finally {
      openai.script = script;
    }
  });
});

describe('an answer that is written behind its response', () => {
  const behind = { model: 'gpt-5', input: 'a', background: true } as const;
  let accounts: ResponseAccounts;
  beforeAll(async () => {
    await gateway.reload(config(1));
    accounts = new ResponseAccounts('resp_behind_');
    openai.script = accounts.act;
  });

  const factFor = async (id: string | null | undefined): Promise<LogLine> =>
    await factOf(gateway, id);

  it.each([
    '/v1',
    '/openai/v1',
  ])('has its fact when it has ended, although its caller never looks: %s', async (base) => {
    const own = client(token(), base);
    const { data, response } = await own.responses.create(behind).withResponse();
    expect(data.status).toBe('queued');
    const fact = await factFor(response.headers.get('x-sluice-request-id'));
    expect(fact).toMatchObject({
      usage_source: 'reported',
      input_tokens: 5,
      output_tokens: 2,
      model: 'm',
    });
    // By the gateway, with the key that made it.
    const looks = openai.requests.filter(
      ({ method, target }) => method === 'GET' && target.endsWith(data.id),
    );
    expect(looks).toHaveLength(2);
    expect(new Set(looks.map((look) => look.field('authorization'))).size).toBe(1);
    expect((await gateway.metrics()).get('ai_background_followed')).toBe(0);
    expect((await own.responses.retrieve(data.id)).status).toBe('completed');
  });

  it('has it although its caller left its stream', async () => {
    const own = client();
    const { data, response } = await own.responses
      .create({ ...behind, stream: true })
      .withResponse();
    for await (const event of data) if (event.type === 'response.created') break;
    const fact = await factFor(response.headers.get('x-sluice-request-id'));
    expect(fact).toMatchObject({
      usage_source: 'reported',
      output_tokens: 2,
      outcome: 'client_gone',
    });
  });

  it('is deleted by a stock SDK when its bill is known, although it was never looked at', async () => {
    const patient = new OpenAI({
      apiKey: token(),
      baseURL: `${gateway.origin}/v1`,
      maxRetries: 5,
      defaultHeaders: { connection: 'close' },
    });
    const { data, response } = await patient.responses.create(behind).withResponse();
    await patient.responses.delete(data.id);
    const fact = await factFor(response.headers.get('x-sluice-request-id'));
    expect(fact).toMatchObject({ usage_source: 'reported', output_tokens: 2 });
    expect(await statusOf(patient.responses.retrieve(data.id))).toBe(404);
  });

  it('is not deleted while it is written: it has to be cancelled, and then has its fact', async () => {
    accounts.looks = 1_000;
    const own = client();
    const { data, response } = await own.responses.create(behind).withResponse();
    const error = await own.responses.delete(data.id).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ status: 409, code: 'not_settled' });
    accounts.looks = 0;
    accounts.cancelled(data.id);
    const fact = await factFor(response.headers.get('x-sluice-request-id'));
    expect(fact).toMatchObject({ usage_source: 'reported' });
    await own.responses.delete(data.id);
  });

  it('that its provider has forgotten is counted, and its fact an estimate', async () => {
    const before = (await gateway.metrics()).get('ai_background_given_up_total');
    const own = client();
    const { data, response } = await own.responses.create(behind).withResponse();
    accounts.forget(data.id);
    const fact = await factFor(response.headers.get('x-sluice-request-id'));
    expect(fact).toMatchObject({ usage_source: 'estimated' });
    expect((await gateway.metrics()).get('ai_background_given_up_total')).toBe(before + 1);
  });

  it('is in flight of its key until it has ended, and a key at its limit can cancel and delete', async () => {
    await gateway.reload(
      config(1, `[policies.one]\nmax_in_flight = 1\nrpm = 3\n[tenants.42]\npolicy = "one"\n`),
    );
    try {
      accounts.looks = 1_000;
      const own = client();
      const { data, response } = await own.responses.create(behind).withResponse();
      expect(await statusOf(own.responses.create(behind))).toBe(429);
      expect((await own.responses.cancel(data.id)).status).toBe('cancelled');
      accounts.cancelled(data.id);
      const fact = await factFor(response.headers.get('x-sluice-request-id'));
      expect(fact).toMatchObject({ usage_source: 'reported' });
      // It ended: there is room for one more, and nothing left of the minute behind that.
      accounts.looks = 0;
      const { id } = await own.responses.create({ model: 'gpt-5', input: 'a' });
      await own.responses.create({ model: 'gpt-5', input: 'a' });
      expect(await statusOf(own.responses.create({ model: 'gpt-5', input: 'a' }))).toBe(429);
      expect(await statusOf(own.responses.cancel(id))).toBe(200);
      expect(await statusOf(own.responses.delete(id))).toBe(200);
    } finally {
      accounts.looks = 1;
      await gateway.reload(config(1));
    }
  });

  it('behind an attempt that failed has one final fact', async () => {
    openai.script = async (turn) => {
      await turn.bodyDone();
      await turn.write(
        'HTTP/1.1 500 No\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}',
      );
    };
    try {
      const { response } = await client()
        .responses.create({ ...behind, model: 'chat' })
        .withResponse();
      const id = response.headers.get('x-sluice-request-id');
      await until('the fact of what was followed', () =>
        facts(gateway).some(
          (fact) => fact['request_id'] === id && fact['usage_source'] === 'reported',
        ),
      );
      const all = facts(gateway).filter((fact) => fact['request_id'] === id);
      expect(all.filter((fact) => fact['final'] === true)).toMatchObject([{ provider: 'xai' }]);
      expect(new Set(all.map((fact) => fact['attempt'])).size).toBe(all.length);
      expect(all.length).toBeGreaterThan(1);
    } finally {
      openai.script = accounts.act;
    }
  });

  it('has one fact, when the gateway stops before it has ended too', async () => {
    accounts.looks = 1_000;
    const { response } = await client().responses.create(behind).withResponse();
    expect(await statusOf(client().responses.create({ ...behind, store: false }))).toBe(400);
    gateway.signal('SIGTERM');
    expect((await gateway.exited).code).toBe(0);
    const id = response.headers.get('x-sluice-request-id');
    const all = facts(gateway).filter((fact) => fact['request_id'] === id);
    expect(all).toMatchObject([{ usage_source: 'estimated' }]);
  });
});
