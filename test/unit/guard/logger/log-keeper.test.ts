import { execFileSync } from 'node:child_process';
import { constants, mkdtempSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LogKeeper } from '../../../../src/guard/logger/log-keeper.ts';
import { LogListener, OpenHearings } from '../../../../src/guard/logger/log-listener.ts';
import { createLogRoom, LogRoom, ROOM_UNITS } from '../../../../src/guard/logger/log-room.ts';
import { until } from '../../../support/conditions.ts';

const LIMIT_MS = 10_000;
const context = { tenant: '7', model: 'chat', requestId: 'req_1', guard: 'said' };

function scene() {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-exchange-log-'));
  const path = join(folder, 'said.ndjson');
  const memory = createLogRoom();
  const events: string[] = [];
  const keeper = new LogKeeper(memory, { write: (_, event) => events.push(event) });
  const sink = { guard: 'said', path, maxBytes: 1e9, retentionDays: 7 };
  const room = new LogRoom(memory);
  const listener = new LogListener('said', room, new OpenHearings(), (record) =>
    keeper.add(record),
  );
  return { path, keeper, sink, room, listener, events };
}

describe('the exchange log', () => {
  it('writes what both sides said, a line an exchange, masked', async () => {
    const { keeper, sink, path, listener, room } = scene();
    keeper.configure([sink]);
    const hearing = listener.open(context);
    hearing.heard('request', 'prompt', 0, 'I am ada@analytical.example', true);
    for (const piece of ['Hello a', 'da@analy', 'tical.example', '!'])
      hearing.heard('response', 'text', 0, piece, piece === '!');
    hearing.over();
    hearing.over();
    await until('it is written', () => keeper.written === 1);
    expect(await keeper.stop(LIMIT_MS)).toBe(true);
    const { at, ...line } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    expect(Date.parse(String(at))).not.toBeNaN();
    expect(line).toEqual({
      guard: 'said',
      request_id: 'req_1',
      tenant_id: '7',
      model: 'chat',
      request: { bytes: 27, cut: false, texts: [{ kind: 'prompt', text: 'I am [EMAIL]' }] },
      response: { bytes: 29, cut: false, texts: [{ kind: 'text', text: 'Hello [EMAIL]!' }] },
    });
    expect(room.waiting).toBe(0);
  });

  it('writes nothing of an exchange in which nothing was said', async () => {
    const { keeper, sink, listener, room } = scene();
    keeper.configure([sink]);
    listener.open(context).over();
    expect(await keeper.stop(LIMIT_MS)).toBe(true);
    expect([keeper.written, room.dropped, room.waiting]).toEqual([0, 0, 0]);
  });

  it('drops and counts what a file that takes nothing leaves no room for, and holds no more than its bound', async () => {
    const { keeper, sink, path, listener, room } = scene();
    // A disk that hangs: a pipe that nobody reads.
    execFileSync('mkfifo', [path]);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    expect(reader).toBeGreaterThan(0);
    keeper.configure([sink]);
    const text = 'x'.repeat(30_000);
    const sent = 2 * Math.ceil(ROOM_UNITS / text.length);
    for (let i = 0; i < sent; i++) {
      const hearing = listener.open(context);
      hearing.heard('request', 'prompt', 0, text, true);
      hearing.over();
    }
    expect(room.dropped).toBeGreaterThan(sent / 3);
    expect(room.waiting).toBeLessThanOrEqual(ROOM_UNITS);
    // Nobody waits for it at the end either.
    expect(await keeper.stop(200)).toBe(false);
    execFileSync('sh', ['-c', `timeout 30 cat '${path}' > /dev/null & sleep 0.01`]);
    await until('what waited is written', () => room.waiting === 0);
    expect(keeper.written + room.dropped).toBe(sent);
  });

  it('gives the room of what it cannot write back', async () => {
    const { keeper, sink, listener, room, events } = scene();
    writeFileSync(sink.path, 'a file where the folder is to be');
    keeper.configure([{ ...sink, path: join(sink.path, 'said.ndjson') }]);
    const hearing = listener.open(context);
    hearing.heard('request', 'prompt', 0, 'a', true);
    hearing.over();
    await until('it is dropped', () => keeper.dropped === 1);
    expect(room.waiting).toBe(0);
    expect(events).toContain('exchange_log_failed');
    await keeper.stop(LIMIT_MS);
  });

  it('holds a bounded amount for exchanges that are open, and counts those that are not logged', () => {
    const { keeper, listener, room } = scene();
    const text = 'x'.repeat(60_000);
    const hearings = Array.from({ length: 200 }, () => listener.open(context));
    for (const hearing of hearings) hearing.heard('request', 'prompt', 0, text, true);
    for (const hearing of hearings) hearing.over();
    expect(room.dropped).toBeGreaterThan(0);
    // There is no thread, as no table names a log.
    expect(keeper.dropped).toBe(200);
    expect(room.waiting).toBe(0);
  });
});
