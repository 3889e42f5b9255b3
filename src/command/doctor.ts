import { lookup } from 'node:dns/promises';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { TLSSocket } from 'node:tls';
import { type ConfigSource, loadConfig } from '../config/config.ts';
import type { Config, ListenAddress } from '../config/config-document.ts';
import { inFlightCapacity } from '../config/in-flight-capacity.ts';
import { DenyBucket, NO_BUCKET, reasonOf } from '../deny/deny-bucket.ts';
import { readSnapshot } from '../deny/deny-snapshot.ts';
import { denySource } from '../deny/deny-source.ts';
import { clientBufferFault } from '../edge/client-buffers.ts';
import { loadFrontEnd } from '../edge/uws-listener.ts';
import { type Provider, providerTable } from '../providers/providers.ts';
import { shownProxy } from '../providers/proxy.ts';
import { Dial, DialError, Sessions } from '../upstream/dial.ts';
import { targetOf, type UpstreamTarget } from '../upstream/target.ts';
import { Trust } from '../upstream/trust.ts';
import { isSluiceAt } from './running-gateway.ts';

/** Text of `sluice doctor --help`. */
export const DOCTOR_HELP = `sluice doctor [--config FILE]

Looks at everything that the gateway needs and says a line each: configuration, front end, client buffers, file limit,
ports, keys, providers (name, connection, TLS), NATS, snapshot, spill file. Run it where the gateway runs, before it does or beside it.

  ok     as it should be
  WARN   the gateway runs, but somebody may miss something
  FAIL   it does not start, or what is configured does not work: exit code 1`;

/** How long a provider may take to answer, in milliseconds. */
const PROBE_MS = 5_000;

/** Below this a gateway under load runs out of descriptors: two for each request in flight. */
const OPEN_FILES_MIN = 4_096;

/** What one look found; a thrown error is a failure, a doubt only a warning. */
type Look = () => string | Promise<string>;

/** What is worth a line and no failure. */
class Doubt extends Error {}

type Verdict = 'ok' | 'WARN' | 'FAIL';

/**
 * `sluice doctor`.
 * @returns the exit code
 */
export async function doctor(source: ConfigSource): Promise<number> {
  const { config, source: file } = loadConfig(source);
  print('ok', 'configuration', file ?? 'no file: defaults and environment');
  const looks: readonly (readonly [name: string, look: Look])[] = [
    ['front end', frontEnd],
    ['client buffers', clientBuffers],
    ['open files', openFiles],
    ['listen', () => portFree('listen', config.listen, config.tlsCertFile !== null)],
    ['metrics_listen', () => portFree('metrics_listen', config.metricsListen, false)],
    ['keys', () => keys(config)],
    ...usedProviders(config).map(
      (provider) => [provider.name, () => reachableIfNamed(provider, config)] as const,
    ),
    ['NATS', () => nats(config)],
    ['snapshot', () => snapshot(config)],
    ['spill file', () => writable('usage_spill_path', config.usageSpillPath)],
  ];
  const results = await Promise.all(
    looks.map(async ([name, look]) => {
      try {
        return ['ok', name, await look()] as const;
      } catch (error) {
        const verdict = error instanceof Doubt ? 'WARN' : 'FAIL';
        return [verdict, name, error instanceof Error ? error.message : 'unknown'] as const;
      }
    }),
  );
  for (const [verdict, name, said] of results) print(verdict, name, said);
  return results.some(([verdict]) => verdict === 'FAIL') ? 1 : 0;
}

function print(verdict: Verdict, name: string, said: string): void {
  process.stdout.write(`${verdict.padEnd(5)} ${name.padEnd(16)} ${said}\n`);
}

async function frontEnd(): Promise<string> {
  await loadFrontEnd();
  return `uWebSockets.js loads on Node ${process.version}`;
}

function clientBuffers(): string {
  const fault = clientBufferFault();
  if (fault !== null) throw new Doubt(fault);
  return 'what the kernel holds for a slow client is bounded';
}

function openFiles(): string {
  const limits = existsSync('/proc/self/limits') ? readFileSync('/proc/self/limits', 'utf8') : '';
  const soft = /Max open files\s+(\S+)/.exec(limits)?.[1];
  if (soft === undefined) return 'the limit cannot be told here';
  if (soft !== 'unlimited' && Number(soft) < OPEN_FILES_MIN) {
    throw new Doubt(
      `the limit is ${soft}: raise it (ulimit -n) to twice the connections you expect, and 1,000`,
    );
  }
  return `the limit is ${soft}; max_in_flight = "auto" is ${inFlightCapacity()}`;
}

async function portFree(key: string, address: ListenAddress, isTls: boolean): Promise<string> {
  const { host, port } = address;
  const code = await bound(address);
  if (code === null) return `${host}:${port} is free`;
  if (code === 'EADDRINUSE' && (await isSluiceAt(address, isTls)))
    return `${host}:${port} is taken by the Sluice that runs here`;
  throw new Error(
    `${host}:${port} cannot be bound (${code}): another process has it, or choose another ${key}`,
  );
}

/** @returns null, or why the address cannot be bound */
function bound({ host, port }: ListenAddress): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code ?? 'unknown'));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)));
  });
}

function keys({ signingKeys, poolKeys }: Config): string {
  if (signingKeys.size === 0) return 'no [signing_keys]: callers bring their own keys';
  if (poolKeys.size === 0) {
    throw new Doubt(
      '[signing_keys] without [pool_keys]: virtual keys verify, and reach no provider',
    );
  }
  return `kid ${[...signingKeys.keys()].join(', ')}; pool keys for ${[...poolKeys.keys()].join(', ')}`;
}

/** Those that are configured; all when none is: then every one of them is relayed to. */
function usedProviders(config: Config): readonly Provider[] {
  const table = providerTable(config.providers);
  const used = table.filter((provider) => isNamed(provider, config));
  return used.length === 0 ? table.filter(({ onlyVirtual }) => !onlyVirtual) : used;
}

function isNamed({ name }: Provider, { providers, poolKeys }: Config): boolean {
  return poolKeys.has(name) || providers.some((row) => row.name === name);
}

/** In a closed network nobody may want those that are only built in. */
async function reachableIfNamed(provider: Provider, config: Config): Promise<string> {
  try {
    return await reachable(provider, config);
  } catch (error) {
    if (isNamed(provider, config) || !(error instanceof Error)) throw error;
    throw new Doubt(`${error.message}. No key of the configuration asks for it`);
  }
}

/** Which way a provider is asked, by which client, and whether that way is open. */
async function reachable(provider: Provider, { egress }: Config): Promise<string> {
  const way = egress.get(provider.name);
  if (way === undefined) throw new Error('no way out is known');
  const { host, port, tls } = provider.authority;
  const through =
    way.proxy === null
      ? `directly (${way.wayBecause})`
      : `through the proxy ${shownProxy(way.proxy)} (${way.wayBecause})`;
  const client = `${way.transport}${way.http2 ? ', HTTP/2 offered' : ''}`;
  // A proxy looks the name up itself.
  const where =
    way.proxy === null ? `${host}:${port} (${await addressOf(host)})` : `${host}:${port}`;
  const target = targetOf(provider, { ...way, connectTimeoutMs: PROBE_MS }, new Trust(way));
  const protocol = await dialled(target).catch((error: unknown) => {
    const code = error instanceof DialError ? error.failure.code : 'unknown';
    throw new Error(
      `${where} is not reached ${through} (${code}): ${advice(code, way.wayBecause, way.proxy === null)}`,
    );
  });
  const seen = way.proxy !== null && !tls ? 'the proxy is reached' : 'is reached';
  const secured = tls ? 'TLS is verified' : 'in plaintext';
  return `${where} ${seen} ${through}, ${secured}; asked by ${client}${protocol === 'h2' ? ' and taken' : ''}`;
}

async function addressOf(host: string): Promise<string> {
  const found = await lookup(host).catch((error: NodeJS.ErrnoException) => {
    throw new Error(
      `the name ${host} is not found (${error.code}): check DNS, or provider_authorities`,
    );
  });
  return found.address;
}

/** @returns the protocol that TLS agreed on, empty without */
function dialled(target: UpstreamTarget): Promise<string> {
  return new Promise((resolve, reject) => {
    new Dial(target, new Sessions(), (error, socket) => {
      if (error !== null) {
        reject(error);
        return;
      }
      resolve(
        socket instanceof TLSSocket && socket.alpnProtocol !== false
          ? (socket.alpnProtocol ?? '')
          : '',
      );
      socket.destroy();
    });
  });
}

/**
 * @param code of the dial: Node's, OpenSSL's, or one that begins with PROXY_
 * @param because the key or variable that chose the way
 */
function advice(code: string, because: string, isDirect: boolean): string {
  if (code === 'PROXY_STATUS_407')
    return `the proxy wants a user and a password: put them into the URL of ${because}`;
  if (code.startsWith('PROXY_STATUS_'))
    return 'the proxy does not let it through: ask whoever runs it';
  if (code.startsWith('PROXY_')) return `the proxy is not there, or not one: check ${because}`;
  if (code === 'CONNECT_TIMEOUT') {
    const silent = `nothing was answered within ${PROBE_MS / 1_000} s`;
    return isDirect
      ? `${silent}: check the firewall; if it speaks plaintext, say so with http:// in provider_authorities`
      : `${silent}: check ${because}`;
  }
  if (/^E(?:CONNREFUSED|HOSTUNREACH|NETUNREACH|ADDRNOTAVAIL|ACCES|PERM|TIMEDOUT)$/.test(code))
    return 'nothing listens there, or something is in between: check provider_authorities and the firewall';
  return tlsAdvice(code);
}

/** @param code of Node's tls or of OpenSSL */
function tlsAdvice(code: string): string {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return 'its certificate is for another name: check provider_authorities';
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return 'its certificate is not valid today: renew it, or set the clock';
  if (/SELF_SIGNED|^UNABLE_TO_|UNTRUSTED/.test(code))
    return 'name a file with the authority of its certificate in ca_file';
  if (/CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE/.test(code))
    return 'it wants to see a certificate: client_cert_file and client_key_file under [providers]';
  return 'if it speaks plaintext, say so with http:// in provider_authorities';
}

async function nats(config: Config): Promise<string> {
  const source = denySource(config);
  if (source === null) return 'off: no nats_url, nobody can be cut off';
  const where = source.urls.join(', ');
  const bucket = await DenyBucket.connect(source).catch((error: unknown) => {
    throw new Error(
      `${where} is not reached (${reasonOf(error)}): check nats_url and nats_creds_file`,
    );
  });
  try {
    const { state } = await bucket.info();
    return `${where} is reached, the bucket ${source.bucket} has ${state.messages} messages`;
  } catch (error) {
    const reason = reasonOf(error);
    if (reason !== NO_BUCKET) throw new Error(`${where} is reached, but: ${reason}`);
    throw new Doubt(
      `${where} is reached, and has no bucket ${source.bucket} yet: nobody is cut off. The first sluice deny makes it`,
    );
  } finally {
    await bucket.close();
  }
}

function snapshot({ snapshotPath }: Config): string {
  if (snapshotPath === null) return 'off: after a start without NATS nobody is cut off';
  writable('snapshot_path', snapshotPath);
  const found = snapshotAt(snapshotPath);
  return found === null
    ? `${snapshotPath} will be written`
    : `${snapshotPath} holds ${found.count} entries`;
}

function snapshotAt(path: string) {
  try {
    return readSnapshot(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'unknown';
    throw new Doubt(`${path} will be ignored and written anew: ${reason}`);
  }
}

function writable(key: string, path: string | null): string {
  if (path === null) return 'off';
  try {
    accessSync(dirname(path), constants.W_OK);
    if (existsSync(path)) accessSync(path, constants.W_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(`${path} cannot be written (${code}): choose another ${key}`);
  }
  return `${path} can be written`;
}
