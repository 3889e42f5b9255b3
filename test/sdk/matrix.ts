import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import type { LogLine } from '../support/gateway.ts';
import { NATS_MISSING } from '../support/nats.ts';
import { type Ask, askFor } from './asks.ts';
import { type Call, callsOf } from './calls.ts';
import { CLIENTS, type Client } from './clients.ts';
import { expectFacts, expectLine, type Line, refusedField, tokensOf } from './lines.ts';
import { type Ran, runProgram } from './program.ts';
import { type Stage, startStage } from './stage.ts';
import type { Toolchain } from './toolchains.ts';

/** Calls of one client at most, so that the ids of all of them can be told apart. */
const IDS_PER_CLIENT = 1_000;

/** Why one call cannot be made here although its client can. */
function unmade({ name }: Call): string | null {
  return name === 'spent' || name === 'cut-off' ? NATS_MISSING : null;
}

/** The facts printed so far, once every fact that was counted was printed as well. */
async function settledFacts(stage: Stage): Promise<readonly LogLine[]> {
  const metrics = await Promise.all([stage.gateway.idle(), stage.routed.idle()]);
  const counted = metrics.reduce((sum, one) => sum + one.sum('ai_usage_facts_total'), 0);
  return await until('every counted fact', () => {
    const printed = stage.facts();
    return printed.length >= counted && printed;
  });
}

/** The model that the provider was asked for. */
function servedModel({ target_model, requested_model }: LogLine): unknown {
  return typeof target_model === 'string'
    ? target_model.slice(target_model.indexOf('/') + 1)
    : requested_model;
}

/** Declares the tests of one toolchain's clients: each call is one, in every lane. */
export function describeMatrix(toolchain: Toolchain): void {
  const missing = toolchain.missing();
  const clients = CLIENTS.filter((client) => client.toolchain === toolchain.name);
  const calls = clients.map((client, at) => callsOf(client, 1 + at * IDS_PER_CLIENT));
  let stage: Stage | null = null;

  beforeAll(async () => {
    if (missing !== null) {
      // The reporter counts skipped tests but does not say why.
      console.warn(`The clients for ${toolchain.name} are skipped: ${missing}.`);
      return;
    }
    await toolchain.install();
    stage = await startStage();
  });
  afterAll(async () => await stage?.stop());

  clients.forEach((client, at) => {
    describe(client.name, () => describeClient(client, calls[at] ?? []));
  });

  describe(`all clients of ${toolchain.name} together`, () => {
    it('left no fact but those of their virtual keys', (ctx) => {
      if (stage === null) return ctx.skip(missing ?? '');
      const managed = calls.flat().filter(({ lane }) => lane !== 'byo');
      const known = new Set(managed.map(({ id }) => String(id)));
      const strange = stage.facts().filter(({ key_id }) => !known.has(String(key_id)));
      expect(strange).toEqual([]);
    });

    it("have exactly the provider's bills as facts", (ctx) => {
      if (stage === null) return ctx.skip(missing ?? '');
      const reported = stage.facts().filter((fact) => fact['usage_source'] === 'reported');
      const told = reported.map((fact) => [servedModel(fact), ...tokensOf(fact)].join(' '));
      expect(told.length).toBeGreaterThan(0);
      expect(told.sort()).toEqual(stage.bills.map((bill) => bill.join(' ')).sort());
    });
  });

  function describeClient(client: Client, calls: readonly Call[]): void {
    const asks = new Map<Call, Ask>();
    let ran: Ran = { lines: new Map(), stderr: '' };
    let printed: readonly LogLine[] = [];

    beforeAll(async () => {
      if (stage === null) return;
      for (const call of calls) {
        if (unmade(call) === null) asks.set(call, askFor(call, client, stage));
      }
      await stage.rested();
      ran = await runProgram(toolchain, client.program, [...asks.values()]);
      printed = await settledFacts(stage);
    });

    const lineOf = (call: Call): Line =>
      ran.lines.get(call.id) ?? expect.fail(`The program printed no line. ${ran.stderr}`);

    it.for(
      calls.map((call) => [`${call.lane}, ${call.name}: ${call.says}`, call] as const),
    )('%s', async ([, call], ctx) => {
      const reason = missing ?? unmade(call);
      if (reason !== null) return ctx.skip(reason);
      const line = lineOf(call);
      const ask = asks.get(call) ?? expect.fail('The call was not asked for.');
      expectLine(line, call, ask, client);
      if (call.kind === 'failure' && call.failure.insists) {
        const asked = await until('the line of the request', () => {
          const lines = stage?.gateway
            .events('access')
            .filter(({ key_id }) => key_id === String(call.id));
          return lines !== undefined && lines.length > 0 && lines;
        });
        expect(asked.map(({ status }) => status)).toEqual([call.failure.status[client.dialect]]);
        console.info(`${client.name}, ${call.name}: given up after ${Math.round(line.ms)} ms`);
      }
      if (call.lane === 'byo' || refusedField(client, call) !== null) return;
      const own = printed.filter(({ key_id }) => key_id === String(call.id));
      expectFacts(own, line, call, ask);
    });
  }
}
