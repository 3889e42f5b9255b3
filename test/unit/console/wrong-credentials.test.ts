import { describe, expect, test } from 'vitest';
import {
  PEERS_MAX,
  peerName,
  RIGHT_MS,
  WRONG_BURST,
  WRONG_EACH_MS,
  WRONG_IN_ALL_BURST,
  WrongCredentials,
} from '../../../src/console/wrong-credentials.ts';

function scene() {
  const clock = { ms: 0 };
  return { clock, wrong: new WrongCredentials(() => clock.ms) };
}

describe('a peer that is wrong', () => {
  test('may be so some times at once, and then as often as the time allows', () => {
    const { clock, wrong } = scene();
    for (let turn = 0; turn < WRONG_BURST; turn++) {
      expect(wrong.wait('10.0.0.1')).toBe(0);
      expect(wrong.wasWrong('10.0.0.1')).toBe(turn === WRONG_BURST - 1);
    }
    expect(wrong.wait('10.0.0.1')).toBe(WRONG_EACH_MS / 1_000);
    expect(wrong.wait('10.0.0.2')).toBe(0);
    clock.ms += WRONG_EACH_MS - 1;
    expect(wrong.wait('10.0.0.1')).toBe(1);
    clock.ms += 1;
    expect(wrong.wait('10.0.0.1')).toBe(0);
    expect(wrong.counts).toEqual({ wrong: WRONG_BURST, refused: 2 });
  });

  test('from many addresses holds up whoever was not right lately, and nobody else', () => {
    const { clock, wrong } = scene();
    wrong.wasRight('10.0.0.1');
    for (let peer = 0; peer < WRONG_IN_ALL_BURST; peer++) wrong.wasWrong(`10.1.0.${peer}`);
    expect(wrong.wait('10.2.0.1')).toBeGreaterThan(0);
    expect(wrong.wait('10.0.0.1')).toBe(0);
    clock.ms += RIGHT_MS;
    for (let peer = 0; peer < WRONG_IN_ALL_BURST; peer++) wrong.wasWrong(`10.3.0.${peer}`);
    expect(wrong.wait('10.0.0.1')).toBeGreaterThan(0);
  });

  test('holds up no token that came from there and was right within the hour, as behind a proxy', () => {
    const { clock, wrong } = scene();
    const [right, other] = [Buffer.from('right'), Buffer.from('other')];
    wrong.wasRight('10.0.0.1', right);
    for (let turn = 0; turn < WRONG_IN_ALL_BURST; turn++) wrong.wasWrong('10.0.0.1', other);
    expect(wrong.wait('10.0.0.1', other)).toBeGreaterThan(0);
    expect(wrong.wait('10.0.0.1')).toBeGreaterThan(0);
    expect(wrong.wait('10.0.0.1', right)).toBe(0);
    // Nor all of them together.
    expect(wrong.wait('10.0.0.2', right)).toBe(0);
    clock.ms += RIGHT_MS;
    for (let turn = 0; turn < WRONG_BURST; turn++) wrong.wasWrong('10.0.0.1', other);
    expect(wrong.wait('10.0.0.1', right)).toBeGreaterThan(0);
  });

  test('is held up with a token that was right, once that is right no more', () => {
    const { wrong } = scene();
    const token = Buffer.from('taken away');
    wrong.wasRight('10.0.0.1', token);
    for (let turn = 0; turn < WRONG_BURST; turn++) wrong.wasWrong('10.0.0.1', token);
    expect(wrong.wait('10.0.0.1', token)).toBeGreaterThan(0);
  });

  test('is remembered among a bounded number', () => {
    const { wrong } = scene();
    for (let turn = 0; turn < WRONG_BURST; turn++) wrong.wasWrong('10.0.0.1');
    for (let peer = 0; peer < PEERS_MAX; peer++) wrong.wasWrong(`peer ${peer}`);
    // Forgotten by itself; all of them together are not.
    expect(wrong.wait('10.0.0.1')).toBe(1);
  });
});

describe('the name of a peer', () => {
  test.each([
    ['10.0.0.1', '10.0.0.1'],
    ['::ffff:10.0.0.1', '::ffff:10.0.0.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8:1:2::6', '2001:db8:1:2'],
    ['2001:db8::6', '2001:db8:0:0'],
    ['::1', '0:0:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
  ])('%s is %s', (address, name) => {
    expect(peerName(address)).toBe(name);
  });
});
