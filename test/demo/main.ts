/**
 * `npm run demo`: the main job, end to end, on this machine: a mock provider, the gateway, and the stock SDKs with
 * nothing changed but their base URL. Ends by itself; `--keep` leaves both running.
 */

import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { startMock } from '../../src/mock/server.ts';
import { startGateway } from '../support/gateway.ts';

/** So that the tokens can be seen coming, in milliseconds. */
const PACE_MS = 25;

const print = (text: string): void => void process.stdout.write(text);
const keep = process.argv.includes('--keep');

const mock = await startMock({ host: '127.0.0.1', port: 0, eventDelayMs: PACE_MS });
const gateway = await startGateway({
  config: `[provider_authorities]\nopenai = "${mock.origin}"\nanthropic = "${mock.origin}"\n`,
});
print(`mock provider  ${mock.origin}\nsluice         ${gateway.origin}\n`);

const openai = new OpenAI({ apiKey: 'sk-demo', baseURL: `${gateway.origin}/v1` });
const anthropic = new Anthropic({ apiKey: 'sk-ant-demo', baseURL: gateway.origin });
const ask = {
  role: 'user',
  content: 'Say something that shows that tokens come one by one.',
} as const;

print('\nopenai, streamed:     ');
const chat = await openai.chat.completions.create({
  model: 'gpt-mock',
  messages: [ask],
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of chat) {
  print(chunk.choices[0]?.delta.content ?? '');
  if (chunk.usage)
    print(`  [${chunk.usage.prompt_tokens} in, ${chunk.usage.completion_tokens} out]`);
}

print('\nopenai, whole:        ');
const whole = await openai.chat.completions.create({ model: 'gpt-mock', messages: [ask] });
print(whole.choices[0]?.message.content ?? '');

print('\nanthropic, streamed:  ');
const events = anthropic.messages.stream({ model: 'claude-mock', max_tokens: 20, messages: [ask] });
for await (const event of events) {
  if (event.type === 'content_block_delta' && event.delta.type === 'text_delta')
    print(event.delta.text);
}

print('\nanthropic, whole:     ');
const message = await anthropic.messages.create({
  model: 'claude-mock',
  max_tokens: 20,
  messages: [ask],
});
for (const block of message.content) if (block.type === 'text') print(block.text);

const metrics = await gateway.idle();
print(`\n\nrequests relayed      ${metrics.get('ai_requests_total')}
settled complete      ${metrics.get('ai_exchanges_settled_total{outcome="complete"}')}
in flight             ${metrics.get('ai_requests_in_flight')}
own time, mean        ${((metrics.get('ai_overhead_seconds_sum') / metrics.get('ai_overhead_seconds_count')) * 1e6).toFixed(0)} µs before the upstream request left (first requests, cold)
all metrics           http://127.0.0.1:${gateway.metricsPort}/metrics\n`);

if (keep) {
  print(`
Both are still running. Try:
  curl -N ${gateway.origin}/v1/chat/completions -H 'authorization: Bearer any' -H 'content-type: application/json' \\
    -d '{"model":"gpt-mock","stream":true,"messages":[{"role":"user","content":"Hello"}]}'
  "model":"fault-cut-3" cuts the stream after three events; npm run mock -- --help lists all faults.
Stop with Ctrl-C.\n`);
} else {
  gateway.signal('SIGTERM');
  const { code } = await gateway.exited;
  await mock.close();
  print(`gateway stopped, exit code ${code}\n`);
  process.exit(code ?? 1);
}
