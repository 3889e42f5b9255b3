import { expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { authorities, startGateway } from '../support/gateway.ts';
import { head, RawClient } from '../support/raw-client.ts';
import { startUpstream } from '../support/scripted-upstream.ts';

it('each event reaches the client before the upstream sends the next', async () => {
  const events = Array.from({ length: 20 }, (_, index) => `data: {"n":${index}}\n\n`);
  let arrived = 0;
  const upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    await turn.stream();
    for (const [index, event] of events.entries()) {
      await turn.chunk(event);
      // Not a timer: the next one is sent only when this one is with the client. A relay that waits hangs here.
      await until(`event ${index} at the client`, () => arrived > index);
    }
    await turn.lastChunk();
  });
  const gateway = await startGateway({ config: authorities({ openai: upstream.port }) });
  const client = new RawClient(gateway.port, {
    onData: () => {
      arrived = Buffer.concat(client.received).toString().split('data: ').length - 1;
    },
  });
  client.send(`${head('POST', '/v1/chat/completions', ['Content-Length: 2'])}{}`);
  const response = await client.response();
  expect(response.complete).toBe(true);
  expect(response.body.toString()).toBe(events.join(''));
  client.close();
  await gateway.stop();
  await upstream.close();
});

it('a sized head reaches the client before its body', async () => {
  let seen = false;
  const upstream = await startUpstream(async (turn) => {
    await turn.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n');
    await until('the head at the client', () => seen);
    await turn.write('ok');
  });
  const gateway = await startGateway({ config: authorities({ openai: upstream.port }) });
  const client = new RawClient(gateway.port, {
    onData: () => {
      seen ||= Buffer.concat(client.received).includes('\r\n\r\n');
    },
  }).send(head('GET', '/v1/x'));
  expect((await client.response()).body.toString()).toBe('ok');
  client.close();
  await gateway.stop();
  await upstream.close();
});
