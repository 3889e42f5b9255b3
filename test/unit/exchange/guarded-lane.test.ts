import { Buffer } from 'node:buffer';
import { describe, expect, it, vi } from 'vitest';
import { GuardedLane } from '../../../src/exchange/guarded-lane.ts';
import { createKeptMemory, KeptBudget } from '../../../src/exchange/kept-budget.ts';
import type { Answer, Lane } from '../../../src/exchange/lane.ts';
import type { Guard, Judge, JudgedRun, Judgement } from '../../../src/guard/guard.ts';
import type { Rejection } from '../../../src/rejection.ts';
import { MetricsLayout, WorkerMetrics } from '../../../src/settle/metrics.ts';
import { NO_ACCOUNT, type Settlement } from '../../../src/settle/settle.ts';
import { Deadlines } from '../../../src/ticker.ts';
import type { UpstreamFailure } from '../../../src/upstream/failure.ts';
import { CLOSED_EARLY } from '../../../src/upstream/failure.ts';
import type { ResponseHead } from '../../../src/wire/response-head.ts';
import { until } from '../../support/conditions.ts';
import { guardSet, markGuard } from '../../support/word-guard.ts';

/** A judge whose verdicts the test gives. */
class ToldJudge implements Judge {
  readonly name = 'told';
  readonly asked: {
    readonly runs: readonly JudgedRun[];
    readonly signal: AbortSignal;
    readonly settle: (judgement: Judgement) => void;
  }[] = [];

  judge(
    _phase: 'request' | 'response',
    runs: readonly JudgedRun[],
    _context: object,
    signal: AbortSignal,
  ): Promise<Judgement> {
    return new Promise((settle) => this.asked.push({ runs, signal, settle }));
  }

  async says(judgement: Judgement): Promise<void> {
    const one = this.asked.shift();
    if (one === undefined) throw new Error('Nobody asked.');
    one.settle(judgement);
    await Promise.resolve();
    await Promise.resolve();
  }
}

/** What the lane behind was given. */
class Behind implements Lane {
  readonly bodies: string[] = [];
  aborted = 0;
  drained = 0;

  begin(): void {}
  body(piece: Buffer): void {
    this.bodies.push(piece.toString());
  }
  writerDrained(): void {
    this.drained++;
  }
  uploadStalled(): void {}
  clientLeft(): boolean {
    return false;
  }
  abort(): void {
    this.aborted++;
  }
  takeBack(): void {}
  giveBack(): void {}
  account() {
    return NO_ACCOUNT;
  }
}

/** What the client's side was told. */
class Told implements Answer {
  text = '';
  heads: ResponseHead[] = [];
  takesMore = true;
  isAnswered = false;
  failure: UpstreamFailure | null = null;
  rejected: Rejection | null = null;

  uploadFull(): void {}
  uploadDrained(): void {}
  head(head: ResponseHead): void {
    this.heads.push(head);
  }
  piece(piece: Buffer): boolean {
    this.text += piece.toString();
    return this.takesMore;
  }
  answered(): void {
    this.isAnswered = true;
  }
  failed(failure: UpstreamFailure): void {
    this.failure = failure;
  }
  refused(why: Rejection): void {
    this.rejected = why;
  }
  onBroken(error: unknown): void {
    throw error;
  }
}

const FRAMING = { contentLength: -1, chunked: true, fault: null, lengthMissing: false };
const REQUEST = Buffer.from('{"model":"m","messages":[{"role":"user","content":"a <<b>>"}]}');
const event = (text: string): string =>
  `data: {"choices":[{"index":0,"delta":{"content":"${text}"}}]}\n\n`;
const END = 'data: [DONE]\n\n';

function head(more: Partial<ResponseHead> = {}): ResponseHead {
  return {
    status: 200,
    head: '200 OK\r\n',
    size: 'chunked',
    eventStream: true,
    streamAsked: true,
    format: 'events',
    ...more,
  };
}

const SETTLEMENT: Settlement = {
  requestId: 'req_1',
  traceparent: null,
  method: 'POST',
  path: '/v1/chat/completions',
  payer: null,
  status: 200,
  outcome: 'complete',
  rejection: null,
  eventStream: false,
  bytesIn: 0,
  bytesOut: 0,
  ttfbMs: null,
  durationMs: 1,
};

function scene(guards: readonly Guard[], maxBytes = 4_096) {
  const layout = new MetricsLayout([]);
  const behind = new Behind();
  const told = new Told();
  const keeper = { notKept: vi.fn() };
  const metrics = new WorkerMetrics(layout, layout.allocate(1), 0);
  const counted = vi.spyOn(metrics, 'guarded');
  const lane = new GuardedLane(
    {
      deadlines: new Deadlines(5),
      replay: new KeptBudget(createKeptMemory(1), 0, 0),
      replayMaxBytes: maxBytes,
      held: new KeptBudget(createKeptMemory(1), 0, 0),
      metrics,
    },
    guardSet(...guards),
    { tenant: '7', requestId: 'req_1' },
    { method: 'POST', fields: [], framing: FRAMING },
    told,
    keeper,
    () => behind,
  );
  const counts = () => {
    lane.account(SETTLEMENT);
    return counted.mock.calls[0]?.[0];
  };
  return { lane, behind, told, keeper, counts };
}

function judged(more: Partial<Guard> = {}) {
  const judge = new ToldJudge();
  return { judge, guard: markGuard('redact', { name: 'told', detector: null, judge, ...more }) };
}

describe('a guarded request', () => {
  it('goes on when it is whole, as its guards left it', () => {
    const { lane, behind } = scene([markGuard('redact')]);
    lane.body(REQUEST.subarray(0, 30), false);
    expect(behind.bodies).toEqual([]);
    lane.body(REQUEST.subarray(30), true);
    expect(behind.bodies).toEqual([REQUEST.toString().replace('<<b>>', '[MARK]')]);
  });

  it('one that is larger than guards may keep is a 413, and goes nowhere', () => {
    const { lane, behind, told } = scene([markGuard('redact')], 40);
    lane.body(REQUEST, true);
    expect(told.rejected?.code).toBe('body_too_large');
    expect(behind.bodies).toEqual([]);
  });

  it('a long one is read in several turns, as it would be in one; a client that leaves between them is noticed', async () => {
    const text = `${'plain '.repeat(10_922)}<<b>>${' plain'.repeat(30_000)} <<c>>`;
    const body = Buffer.from(JSON.stringify({ messages: [{ content: text }] }));
    const { lane, behind } = scene([markGuard('redact')], 1_000_000);
    const gone = scene([markGuard('redact')], 1_000_000);
    lane.body(body, true);
    gone.lane.body(body, true);
    expect(behind.bodies).toEqual([]);
    gone.lane.abort();
    await until('the request', () => behind.bodies.length > 0);
    expect(behind.bodies[0]).toBe(
      body.toString().replace('<<b>>', '[MARK]').replace('<<c>>', '[MARK]'),
    );
    expect(gone.behind.bodies).toEqual([]);
  });

  it('waits for a judge, who has what the guards before it left, and goes on with what it says', async () => {
    const { judge, guard } = judged();
    const { lane, behind } = scene([markGuard('redact'), guard]);
    lane.body(REQUEST, true);
    expect(judge.asked[0]?.runs).toEqual([{ kind: 'prompt', text: 'a [MARK]' }]);
    expect(behind.bodies).toEqual([]);
    await judge.says({ verdict: 'replace', texts: ['other'] });
    expect(behind.bodies).toEqual([REQUEST.toString().replace('a <<b>>', 'other')]);
  });

  it.each([
    ['a judge objects', { verdict: 'block', why: 'rude' }, 'block', true],
    ['a judge fails, and that blocks', { verdict: 'failed', why: 'late' }, 'block', true],
    ['a judge fails, and that passes', { verdict: 'failed', why: 'late' }, 'pass', false],
    ['a judge only tells', { verdict: 'flag', what: ['rude'] }, 'block', false],
  ] as const)('%s', async (_name, judgement, onError, isBlocked) => {
    const { judge, guard } = judged({ onError });
    const { lane, behind, told } = scene([guard]);
    lane.body(REQUEST, true);
    await judge.says(judgement);
    expect(told.rejected?.code ?? null).toBe(isBlocked ? 'guard_blocked' : null);
    expect(behind.bodies).toHaveLength(isBlocked ? 0 : 1);
  });

  it('a client that leaves while a judge is asked has its judge told so, and nothing is sent', async () => {
    const { judge, guard } = judged();
    const { lane, behind, told } = scene([guard]);
    lane.body(REQUEST, true);
    const signal = judge.asked[0]?.signal;
    lane.abort();
    expect(signal?.aborted).toBe(true);
    await judge.says({ verdict: 'block', why: 'rude' });
    expect(behind.bodies).toEqual([]);
    expect(told.rejected).toBeNull();
  });
});

describe('a guarded answer', () => {
  const begun = (guards: readonly Guard[], said: Partial<ResponseHead> = {}) => {
    const made = scene(guards);
    made.lane.body(Buffer.from('{"model":"m"}'), true);
    made.lane.head(head(said), false);
    return made;
  };
  const answers = [{ phases: ['response'] }] as const;

  it('a stream is judged run by run: what is asked about is held, and its provider waits', async () => {
    const { judge, guard } = judged(answers[0]);
    const { lane, told, behind } = begun([guard]);
    const long = 'x'.repeat(1_024);
    expect(lane.piece(Buffer.from(event(long)), false)).toBe(false);
    expect(lane.piece(Buffer.from(event('more')), false)).toBe(false);
    expect(told.text).toBe('');
    await judge.says({ verdict: 'replace', texts: ['short'] });
    expect(told.text).toBe(event('short'));
    expect(behind.drained).toBe(1);
    lane.piece(Buffer.from(END), true);
    lane.answered();
    expect(told.isAnswered).toBe(false);
    await judge.says({ verdict: 'keep' });
    expect(told.text).toBe(event('short') + event('more') + END);
    expect(told.isAnswered).toBe(true);
  });

  it('a client that takes no more is not sent more because a judge has spoken', async () => {
    const { judge, guard } = judged(answers[0]);
    const { lane, told, behind } = begun([guard]);
    told.takesMore = false;
    lane.piece(Buffer.from(event('x'.repeat(1_024))), false);
    await judge.says({ verdict: 'keep' });
    expect(behind.drained).toBe(0);
    lane.writerDrained();
    expect(behind.drained).toBe(1);
  });

  it('a client that has taken what it was given gets no more while a judge is asked', async () => {
    const { judge, guard } = judged(answers[0]);
    const { lane, behind } = begun([guard]);
    lane.piece(Buffer.from(event('x'.repeat(1_024))), false);
    lane.writerDrained();
    expect(behind.drained).toBe(0);
    await judge.says({ verdict: 'keep' });
    expect(behind.drained).toBe(1);
  });

  it('a client that leaves while the last words are judged is told nothing more', async () => {
    const { judge, guard } = judged(answers[0]);
    const { lane, told } = begun([guard]);
    lane.piece(Buffer.from(event('last') + END), true);
    lane.answered();
    const signal = judge.asked[0]?.signal;
    lane.abort();
    expect(signal?.aborted).toBe(true);
    await judge.says({ verdict: 'keep' });
    expect(told.text).toBe('');
    expect(told.isAnswered).toBe(false);
  });

  it('what a judge objects to in a stream ends it: the provider is told to stop, the caller why', async () => {
    const { judge, guard } = judged(answers[0]);
    const { lane, told, behind } = begun([guard]);
    lane.piece(Buffer.from(event('x'.repeat(1_024))), false);
    await judge.says({ verdict: 'block', why: 'rude' });
    expect(behind.aborted).toBe(1);
    expect(told.text).toBe('');
    expect(told.failure).toMatchObject({ kind: 'guarded', told: { code: 'guard_blocked' } });
  });

  it('before its beginning has left, a find in a whole answer is a refusal', () => {
    const { lane, told } = begun([markGuard('block')], { format: 'json', eventStream: false });
    lane.piece(Buffer.from('{"choices":[{"message":{"content":"a <<b>>"}}]}'), true);
    lane.answered();
    expect(told.heads).toEqual([]);
    expect(told.rejected?.code).toBe('guard_blocked');
  });

  it('a whole answer has its own length, and is kept by nobody when it was changed', () => {
    for (const [text, changes] of [
      ['a <<b>>', 1],
      ['a b', 0],
    ] as const) {
      const { lane, told, keeper } = begun([markGuard('redact')], {
        format: 'json',
        eventStream: false,
        size: 99,
      });
      lane.piece(Buffer.from(`{"choices":[{"message":{"content":"${text}"}}]}`), true);
      lane.answered();
      expect(told.heads[0]?.size).toBe(told.text.length);
      expect(keeper.notKept).toHaveBeenCalledTimes(changes);
    }
  });

  it('what was put back is kept by nobody', () => {
    const { lane, told, keeper, behind } = scene([markGuard('mask')]);
    lane.body(REQUEST, true);
    expect(behind.bodies[0]).toContain('a [MARK_1]');
    lane.head(head(), false);
    lane.piece(Buffer.from(event('a [MAR') + event('K_1] b') + END), true);
    lane.answered();
    expect(told.text).toBe(event('a <<b>>') + event(' b') + END);
    expect(keeper.notKept).toHaveBeenCalledOnce();
  });

  it('what is held leaves after its time, while nothing more comes', async () => {
    const { lane, told } = begun([markGuard('redact', { maxHoldMs: 10 })]);
    lane.piece(Buffer.from(event('a <<')), false);
    expect(told.text).toBe('');
    await until('the event', () => told.text === event('a <<'));
    lane.piece(Buffer.from(event(' b') + END), true);
    lane.answered();
    expect(told.text).toBe(event('a <<') + event(' b') + END);
  });

  it.each([
    'behind',
    'before',
  ])('a judge that takes longer than a text may be held: what is held %s it does not leave, for its rest cannot come', async (place) => {
    const { judge, guard } = judged({ ...answers[0], maxHoldMs: 10 });
    const mark = markGuard('redact', { maxHoldMs: 10 });
    // Answers go through them from the last to the first.
    const { lane, told } = begun(place === 'behind' ? [mark, guard] : [guard, mark]);
    const clock = begun([mark]);
    const long = 'x'.repeat(1_024);
    if (place === 'behind') {
      lane.piece(Buffer.from(event(`${long} <<`)), false);
      await judge.says({ verdict: 'keep' });
      lane.piece(Buffer.from(event(`b>>${long}`) + event('y'.repeat(5_000))), false);
    } else lane.piece(Buffer.from(event(long) + event('y'.repeat(5_000)) + event('<<')), false);
    clock.lane.piece(Buffer.from(event('a <<')), false);
    await until('its time to be over', () => clock.told.text !== '');
    await judge.says({ verdict: 'keep' });
    lane.piece(Buffer.from((place === 'behind' ? '' : event('b>>')) + END), true);
    lane.answered();
    for (let asked = 0; asked < 4 && judge.asked.length > 0; asked++)
      await judge.says({ verdict: 'keep' });
    expect(told.failure).toBeNull();
    expect(told.isAnswered).toBe(true);
    expect(told.text).toContain('[MARK]');
    expect(told.text).not.toContain('<<');
  });

  it('a thought whose rest is judged when the answer begins is not let go half read', async () => {
    const { judge, guard } = judged(answers[0]);
    const { lane, told } = begun([markGuard('redact'), guard]);
    const thought = (text: string): string =>
      `data: {"choices":[{"index":0,"delta":{"reasoning_content":"${text}"}}]}\n\n`;
    lane.piece(Buffer.from(thought(`${'x'.repeat(1_024)} <<`)), false);
    await judge.says({ verdict: 'keep' });
    lane.piece(Buffer.from(thought('b>>') + event('It is.')), false);
    await judge.says({ verdict: 'keep' });
    lane.piece(Buffer.from(END), true);
    lane.answered();
    for (let asked = 0; asked < 4 && judge.asked.length > 0; asked++)
      await judge.says({ verdict: 'keep' });
    expect(told.failure).toBeNull();
    expect(told.text).toContain('[MARK]');
    expect(told.text).toContain(event('It is.') + END);
    expect(told.text).not.toContain('<<');
  });

  it('texts of a call that are judged one after the other stay texts by themselves for the guards behind', async () => {
    const { judge, guard } = judged(answers[0]);
    const { lane, told } = begun([markGuard('redact'), guard]);
    const call = JSON.stringify({
      choices: [
        {
          index: 0,
          delta: { tool_calls: [{ index: 0, function: { arguments: '{"a":"<<","c":"b>>"}' } }] },
        },
      ],
    });
    lane.piece(Buffer.from(`data: ${call}\n\n${END}`), true);
    lane.answered();
    const asked: string[] = [];
    for (let at = 0; at < 9 && judge.asked.length > 0; at++) {
      asked.push(...(judge.asked[0]?.runs.map(({ text }) => text) ?? []));
      await judge.says({ verdict: 'keep' });
    }
    expect(asked).toEqual(['a', '<<', 'c', 'b>>']);
    expect(told.text).toBe(`data: ${call}\n\n${END}`);
    expect(told.isAnswered).toBe(true);
  });

  it('a text is held as long as a guard that reads it says; what only reads requests has no say', async () => {
    const { lane, told } = begun([
      markGuard('redact', { maxHoldMs: 60_000 }),
      markGuard('redact', { phases: ['request'], maxHoldMs: 10 }),
    ]);
    const clock = begun([markGuard('redact', { maxHoldMs: 20 })]);
    lane.piece(Buffer.from(event('a <<')), false);
    clock.lane.piece(Buffer.from(event('a <<')), false);
    await until('the shorter time to be over', () => clock.told.text !== '');
    expect(told.text).toBe('');
    lane.abort();
  });

  it('no text is held for longer than it may be, though others before it leave meanwhile', () => {
    vi.useFakeTimers();
    try {
      const { lane, told } = begun([markGuard('redact', { maxHoldMs: 500 })]);
      for (const unit of ['1 <', '2 <', '<']) lane.piece(Buffer.from(event(unit)), false);
      expect(told.text).toBe(event('1 <'));
      vi.advanceTimersByTime(400);
      // It tells that the one before it is nothing, and may begin something itself.
      lane.piece(Buffer.from(event('<')), false);
      expect(told.text).toBe(event('1 <') + event('2 <'));
      vi.advanceTimersByTime(120);
      expect(told.text).toBe(event('1 <') + event('2 <') + event('<') + event('<'));
    } finally {
      vi.useRealTimers();
    }
  });

  it('one that is packed is counted to its last byte, though nobody said how long it is', () => {
    const { lane, told, counts } = begun([markGuard('redact', { onUnscanned: 'pass' })], {
      format: null,
    });
    lane.piece(Buffer.from('packed'), false);
    lane.piece(Buffer.from(', too'), true);
    lane.answered();
    expect(told.text).toBe('packed, too');
    expect(counts()).toMatchObject({ unscanned_bytes: 11 });
  });

  it('a page is counted to its last byte', () => {
    const { lane, counts } = begun([markGuard('redact', { onUnscanned: 'pass' })], {
      format: 'json',
      eventStream: false,
    });
    lane.piece(Buffer.from('<html>'), false);
    lane.piece(Buffer.from('sorry'), true);
    lane.answered();
    expect(counts()).toMatchObject({ unscanned_bytes: 11 });
  });

  it('a stream that breaks off tells first what is whole of it', () => {
    const { lane, told } = begun([markGuard('redact')]);
    lane.piece(Buffer.from(`${event('a <<')}data: {"cho`), false);
    lane.failed(CLOSED_EARLY, '');
    expect(told.text).toBe(event('a <<'));
    expect(told.failure).toBe(CLOSED_EARLY);
  });

  it('what is found at the end of a stream that breaks off is told as that, once, and does not leave', () => {
    const { lane, told, behind } = begun([
      markGuard('block', {
        detector: {
          name: 'late',
          scan: (text, _kind, isEnd) => ({
            findings: isEnd ? [{ from: 0, to: text.length, what: 'late' }] : [],
            settledTo: isEnd ? text.length : 0,
          }),
        },
      }),
    ]);
    lane.piece(Buffer.from(event('bad')), false);
    lane.failed(CLOSED_EARLY, '');
    expect(told.text).toBe('');
    expect(told.failure?.kind).toBe('guarded');
    expect(behind.aborted).toBe(1);
  });

  it.each([
    ['JSON under an event stream’s name', { format: 'events' }, '{"error":{"message":"<<b>>"}}'],
    ['events under JSON’s name', { format: 'json', eventStream: false }, event('<<b>>') + END],
    ['white space before it', { format: 'events' }, `\n\r\n\n${event('<<b>>')}${END}`],
  ] as const)('%s is guarded as what it is', (_name, said, text) => {
    const { lane, told } = begun([markGuard('redact')], said);
    for (const unit of text) lane.piece(Buffer.from(unit), false);
    lane.answered();
    expect(told.text).toBe(text.replace('<<b>>', '[MARK]'));
    expect(told.isAnswered).toBe(true);
  });

  it.each([
    [200, 'guard_blocked'],
    [502, null],
  ])('a page under status %i: %s', (status, code) => {
    const page = '<html>sorry</html>';
    const { lane, told } = begun([markGuard('redact')], {
      status,
      format: 'json',
      eventStream: false,
    });
    lane.piece(Buffer.from(page), true);
    lane.answered();
    expect(told.rejected?.code ?? null).toBe(code);
    expect(told.text).toBe(code === null ? page : '');
  });
});
