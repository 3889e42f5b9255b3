import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { ROOT } from '../support/gateway.ts';
import { NATS_MISSING } from '../support/nats.ts';

/** Ten seconds on a machine that does nothing else, in milliseconds. */
const STORY_MS = 90_000;

class Demo {
  readonly child: ChildProcess;
  said = '';

  constructor(...options: readonly string[]) {
    this.child = spawn(process.execPath, [join(ROOT, 'test/demo/main.ts'), ...options], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.on('data', (text: Buffer) => {
        this.said += text.toString();
      });
  }

  /** What it said, its line breaks and indentation taken out. */
  get prose(): string {
    return this.said.replaceAll(/\s+/g, ' ');
  }
}

const isServed = async (origin: string): Promise<boolean> =>
  await fetch(`${origin}/v1`).then(
    () => true,
    () => false,
  );

it(
  'the demo tells its story to the end: both SDKs, a virtual key, its fact, a 402, a cut stream',
  async (ctx) => {
    if (NATS_MISSING !== null) return ctx.skip(NATS_MISSING);
    const demo = new Demo();
    expect(await once(demo.child, 'exit'), demo.said).toEqual([0, null]);
    const told = [
      'before it is paid for.',
      'why you pay by the token.',
      /mint --secret signing-1\.secret --tenant 42 --vpc 99 bai_v1\.1\./,
      /tenant 42 used 7 tokens in and 23 out of gpt-5-mini at openai, the provider's own count/,
      /deny tenant 42 --reason spend .* raised APIError 402: .* allow tenant 42 .* Hello! I am/,
      /Once upon a time a river wanted to know where it The SDK raised APIError: /,
      /the gateway took \d+ µs/,
    ];
    for (const line of told) expect(demo.prose).toMatch(line);
  },
  STORY_MS,
);

it(
  'without NATS the demo says what to install and cuts off another way; killed, it leaves nothing behind',
  async () => {
    const demo = new Demo('--keep', '--without-nats');
    const said = await until(
      'the end of the story',
      () => {
        expect(demo.child.exitCode, demo.said).toBe(null);
        return /gateway {4}(http:\S+)[\s\S]*Stop with Ctrl-C/.exec(demo.said);
      },
      STORY_MS,
    );
    expect(demo.prose).toMatch(/apt-get install nats-server/);
    expect(demo.prose).toMatch(/raised AuthenticationError 401: /);
    const origin = said[1] ?? '';
    expect(await isServed(origin)).toBe(true);
    demo.child.kill('SIGKILL');
    await until('the gateway to leave', async () => !(await isServed(origin)));
  },
  2 * STORY_MS,
);
