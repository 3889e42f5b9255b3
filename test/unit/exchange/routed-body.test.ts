import { afterEach, describe, expect, it } from 'vitest';
import { createKeptMemory, KeptBudget } from '../../../src/exchange/kept-budget.ts';
import { RoutedBody } from '../../../src/exchange/routed-body.ts';
import { Metering } from '../../../src/meter/metering.ts';
import { TokenRatios } from '../../../src/meter/token-ratios.ts';
import { type Provider, providerTable } from '../../../src/providers/providers.ts';
import { FirstContent } from '../../../src/upstream/transport.ts';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';
import type { RequestFraming } from '../../../src/wire/request-framing.ts';

const scanner = loadJsonScanner();
const ratios = new TokenRatios();
const providers = providerTable([]);
function known(name: string): Provider {
  const found = providers.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
}
const provider = known('openai');
/** It tells what a stream cost unasked. */
const unasked = known('groq');
const policy = {
  name: null,
  keyClass: 'application',
  expiresMs: Number.POSITIVE_INFINITY,
  models: null,
  mayRehearse: false,
  isStrict: false,
  limits: null,
  spending: null,
  onExceeded: null,
  repeats: null,
  guards: null,
  cache: null,
  share: 1,
} as const;
const routed = { metering: 'completions', provider, policy } as const;
const context = {
  scanner,
  replay: new KeptBudget(createKeptMemory(1), 0, 0),
  replayMaxBytes: 0,
};
const bodyOf = (framing: RequestFraming): RoutedBody => new RoutedBody(context, framing, routed);
const meteringOf = (to = provider): Metering => new Metering(scanner, ratios, 'completions', to);
const sized = (contentLength: number): RequestFraming => ({
  contentLength,
  chunked: contentLength < 0,
  fault: null,
  lengthMissing: false,
});

interface Left {
  readonly text: string;
  /** As it is declared upstream; -1: it is not. */
  readonly length: number;
  readonly model: string | null;
}

const textOf = ({ pieces }: FirstContent): string => Buffer.concat(pieces).toString();

/** As the relay lane sends it: the metering reads all of it. */
function relayed(pieces: readonly Buffer[], declared: number): Left {
  const metering = meteringOf();
  const out = new FirstContent();
  metering.begin();
  let length = -1;
  pieces.forEach((piece, at) => {
    metering.request(piece, out);
    if (at === 0) length = metering.lengthFor(declared);
  });
  metering.requestEnded(out);
  return { text: textOf(out), length, model: metering.finish(0).requestedModel };
}

/** As the routed lane sends it, when its name is plain: what was gathered, and what comes behind it. */
function gathered(pieces: readonly Buffer[], declared: number): Left {
  const body = bodyOf(sized(declared));
  const metering = meteringOf();
  let out: FirstContent | null = null;
  let length = -1;
  pieces.forEach((piece, at) => {
    const isLast = at === pieces.length - 1;
    if (out !== null) {
      metering.request(piece, out);
      return;
    }
    if (body.push(piece, isLast) === 'more') return;
    const { scan, content } = body.handOver(null, provider);
    metering.goOnWith(scan, null, false);
    length = metering.lengthFor(declared);
    out = content;
    body.drop();
    body.release();
  });
  if (out === null) throw new Error('It was never named.');
  metering.requestEnded(out);
  return { text: textOf(out), length, model: metering.finish(0).requestedModel };
}

/** As the routed lane sends it to its first target, once it is whole. */
function named(pieces: readonly Buffer[], model: string, to: Provider): Left {
  const body = bodyOf(sized(-1));
  const metering = meteringOf(to);
  pieces.forEach((piece, at) => {
    const lent = Buffer.from(piece);
    body.push(lent, at === pieces.length - 1);
    if (pieces.length > 1) lent.fill(0);
  });
  body.release();
  body.keep();
  const { scan, content } = body.handOver(model, to);
  metering.goOnWith(scan, model, true);
  const text = textOf(content);
  body.drop();
  return { text, length: content.bytes, model: metering.finish(0).requestedModel };
}

/** As an attempt sends it that reads it by itself. */
function readAgain(bytes: Buffer, model: string, to: Provider): Left {
  const body = bodyOf(sized(-1));
  body.push(bytes, true);
  body.release();
  const metering = meteringOf(to);
  const out = new FirstContent();
  metering.whole(body.bytes(model), out);
  return { text: textOf(out), length: out.bytes, model: metering.finish(0).requestedModel };
}

const BODIES = [
  '{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}',
  '{"messages":[{"role":"user","content":"hi \u00e9"}],"stream":true,"model":"gpt-4o"}',
  '{"stream":true,"stream_options":{"include_usage":false},"model":"gpt-4o"}',
  '{"stream":true,"stream_options":{},"model":"a","x":[1,2],"model":"a"}',
  '{"model":"gpt-4o","messages":[]}',
];

afterEach(() => expect(scanner.open).toBe(0));

describe('a routed body whose name is plain', () => {
  it.each(BODIES)('leaves as the relay sends it, wherever it was cut: %s', (text) => {
    const bytes = Buffer.from(text);
    for (let first = 1; first < bytes.length; first++) {
      for (const second of [first, Math.floor((first + bytes.length) / 2)]) {
        const cut = [
          bytes.subarray(0, first),
          bytes.subarray(first, second),
          bytes.subarray(second),
        ];
        const pieces = cut.filter(({ length }) => length > 0);
        for (const declared of [bytes.length, -1])
          expect(gathered(pieces, declared)).toEqual(relayed(pieces, declared));
      }
    }
  });

  it('is scanned once, whether it comes in one piece or in several', () => {
    const { scan } = scanner;
    let scans = 0;
    scanner.scan = (...asked) => {
      scans++;
      return scan.apply(scanner, asked);
    };
    try {
      const bytes = Buffer.from(BODIES[0] ?? '');
      gathered([bytes], bytes.length);
      expect(scans).toBe(1);
      gathered([bytes.subarray(0, 20), bytes.subarray(20)], bytes.length);
      expect(scans).toBe(2);
    } finally {
      scanner.scan = scan;
    }
  });

  it('has one owner of its scan at a time', () => {
    const bytes = Buffer.from(BODIES[0] ?? '');
    const body = bodyOf(sized(bytes.length));
    body.push(bytes.subarray(0, 17), false);
    const metering = meteringOf();
    metering.goOnWith(body.handOver(null, provider).scan, null, false);
    body.release();
    expect(scanner.open).toBe(1);
    // Nor does it read what the other one reads.
    expect(body.faultOfRest(Buffer.from(',"model":"other"'), false)).toBeNull();
    expect(body.model).toBe('gpt-4o');
    metering.finish(0);
    metering.finish(0);
    expect(scanner.open).toBe(0);
  });

  it('is refused when it names another model behind the one that led to its provider', () => {
    const bytes = Buffer.from(BODIES[0] ?? '');
    const body = bodyOf(sized(-1));
    body.push(bytes.subarray(0, 18), false);
    const metering = meteringOf();
    const { scan, content } = body.handOver(null, provider);
    metering.goOnWith(scan, null, false);
    metering.request(Buffer.from('"x":1,"model":"other"}'), content);
    metering.requestEnded(content);
    expect(metering.refusal(false)).toMatchObject({ code: 'invalid_body' });
    metering.finish(0);
  });
});

describe('a routed body that is whole', () => {
  it.each([
    ...BODIES,
    '{"model":{"a":1},"stream":true,"stream_options":null,"model":"chat"}',
    '{"mod\\u0065l":"ch\\u0061t","stream":true}',
  ])('leaves for its first target as one that is read again, wherever it was cut: %s', (text) => {
    const bytes = Buffer.from(text);
    const model = 'llama-3.3-70b "versatile" \u00e9';
    for (const to of [provider, unasked]) {
      const again = readAgain(bytes, model, to);
      expect(again.model).toBe(model);
      expect(named([bytes], model, to)).toEqual(again);
      for (let first = 1; first < bytes.length; first++) {
        const pieces = [bytes.subarray(0, first), bytes.subarray(first)];
        expect(named(pieces, model, to)).toEqual(again);
      }
    }
  });

  it('is handed over once, and to nobody who has to be asked for what its default provider tells unasked', () => {
    const whole = (routedTo: Provider): RoutedBody => {
      const body = new RoutedBody(context, sized(-1), { ...routed, provider: routedTo });
      body.push(Buffer.from(BODIES[0] ?? ''), true);
      return body;
    };
    const told = whole(unasked);
    expect([told.mayHandOver(unasked), told.mayHandOver(provider)]).toEqual([true, false]);
    told.release();
    const asked = whole(provider);
    expect([asked.mayHandOver(unasked), asked.mayHandOver(provider)]).toEqual([true, true]);
    asked.handOver('m', provider).scan.release();
    expect([asked.mayHandOver(unasked), asked.mayHandOver(provider)]).toEqual([false, false]);
  });
});

describe('a body that cannot be written anew, since not all of it is kept', () => {
  const piece = Buffer.from('{"model":"m","messages":[]');
  const fullOf = (declared: number, nodeBytes: number) => {
    const replay = new KeptBudget(createKeptMemory(1), 0, nodeBytes);
    const body = new RoutedBody({ scanner, replay, replayMaxBytes: 64 }, sized(declared), routed);
    let state = body.push(piece, false);
    for (let pieces = 0; state !== 'full' && pieces < 8; pieces++) state = body.push(piece, false);
    const told = [state, body.notWhole.code];
    body.drop();
    body.release();
    return told;
  };

  it('is too large by what it declares, as by what came, however little came so far', () => {
    expect(fullOf(65, 0)).toEqual(['full', 'body_too_large']);
    expect(fullOf(-1, 0)).toEqual(['full', 'body_too_large']);
  });

  it('is none of its own fault where the node has no room', () => {
    expect(fullOf(64, 1)).toEqual(['full', 'overloaded']);
  });
});
