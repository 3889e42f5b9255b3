/**
 * Run by test/faults/silent-resolver.test.ts as a process of its own, in network and mount namespaces of its own
 * (`unshare --net --mount`): the system's resolver asks a name server that never answers. Prints, as JSON, what a provider
 * whose name stands in the hosts file answers while requests to another one wait for their name.
 */

import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './conditions.ts';
import { startGateway } from './gateway.ts';
import { head, RawClient } from './raw-client.ts';
import { startUpstream } from './scripted-upstream.ts';

const WAITING = 40;
const resolvers = join(mkdtempSync(join(tmpdir(), 'sluice-resolver-')), 'resolv.conf');
writeFileSync(resolvers, 'nameserver 127.0.0.1\n');
spawnSync('ip', ['link', 'set', 'lo', 'up']);
if (spawnSync('mount', ['--bind', resolvers, '/etc/resolv.conf']).status !== 0) process.exit(1);
const server = createSocket('udp4');
await new Promise<void>((resolve) => server.bind(53, '127.0.0.1', resolve));
let queries = 0;
server.on('message', () => queries++);

const upstream = await startUpstream((turn) => turn.answer('{}', ['connection: close']));
const gateway = await startGateway({
  config: `workers = 1\nconnect_timeout_secs = 2\n[provider_authorities]\nsilent = "http://silent.test:80"\nopenai = "http://localhost:${upstream.port}"\n`,
});
const ask = async (target: string): Promise<number> => {
  const client = new RawClient(gateway.port).send(head('GET', target));
  const { status } = await client.response();
  client.close();
  return status;
};
const waiting = Array.from({ length: WAITING }, () => ask('/silent/v1/x'));
await until('the name server to be asked', () => queries > 0);
await until('all to wait', async () => {
  return (await gateway.metrics()).get('ai_requests_in_flight') === WAITING;
});
const beside = await Promise.all(Array.from({ length: 10 }, () => ask('/v1/x')));
const late = await Promise.all(waiting);
process.stdout.write(JSON.stringify({ beside: [...new Set(beside)], late: [...new Set(late)] }));
process.exit(0);
