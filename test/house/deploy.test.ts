import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { SETTINGS } from '../../src/config/config-schema.ts';
import { VERSION } from '../../src/version.ts';
import { ROOT, textOf } from '../support/source-tree.ts';

const UNIT = textOf('deploy/sluice.service');
const IMAGE = textOf('deploy/Dockerfile');
const IGNORE = textOf('deploy/Dockerfile.dockerignore');
const CLUSTER = textOf('deploy/kubernetes.yaml');
const COMPOSE = textOf('deploy/compose.yaml');
const DEFAULTS = SETTINGS.parse({});

/** What stands in the first group, each time that the pattern is found. */
const all = (text: string, pattern: RegExp): readonly string[] =>
  [...text.matchAll(new RegExp(pattern, 'gm'))].map((match) => match[1] ?? '');

/** The same for what must be there exactly once. */
function one(text: string, pattern: RegExp): string {
  const [only, ...more] = all(text, pattern);
  if (only === undefined || more.length > 0) throw new Error(`${pattern} is not there once`);
  return only;
}

/** The ConfigMap's file, without the indentation of the manifest. */
const CONFIG = one(CLUSTER, /^ {2}config\.toml: \|\n((?: {4}.*\n|\n)+)/).replaceAll(/^ {4}/gm, '');

const SERVE = textOf('src/node/serve.ts');
const milliseconds = (name: string): number =>
  Number(one(SERVE, new RegExp(`^const ${name} = ([\\d_]+);`)).replaceAll('_', ''));
/** What may pass between the end of the grace and the end of the process. */
const CLOSING_MS = ['CLOSE_LIMIT_MS', 'FLUSH_LIMIT_MS', 'DISK_LIMIT_MS']
  .map(milliseconds)
  .reduce((sum, ms) => sum + ms);
/** Room for a busy machine. */
const SLACK_MS = 30_000;

describe('deploy/', () => {
  test('every way to stop gives a drain the time that it may take, and little more', () => {
    const preStopMs = Number(one(CLUSTER, /command: \["sleep", "(\d+)"\]/)) * 1_000;
    const inCluster = Number(one(CONFIG, /^shutdown_grace_secs = (\d+)$/)) * 1_000;
    const cases: readonly (readonly [string, number, number])[] = [
      ['unit', Number(one(UNIT, /^TimeoutStopSec=(\d+)$/)), DEFAULTS.shutdown_grace_secs],
      ['image', Number(one(IMAGE, /--stop-timeout (\d+)/)), DEFAULTS.shutdown_grace_secs],
      ['compose', Number(one(COMPOSE, /stop_grace_period: (\d+)s$/)), DEFAULTS.shutdown_grace_secs],
      ['pod', Number(one(CLUSTER, /terminationGracePeriodSeconds: (\d+)$/)), inCluster + preStopMs],
    ];
    for (const [what, seconds, drainMs] of cases) {
      expect(seconds * 1_000, what).toBeGreaterThan(drainMs + CLOSING_MS);
      expect(seconds * 1_000, what).toBeLessThan(drainMs + CLOSING_MS + SLACK_MS);
    }
  });

  test('ports are those that the gateway listens on', () => {
    const ports = [DEFAULTS.listen.port, DEFAULTS.metrics_listen.port];
    expect(one(IMAGE, /^EXPOSE (.+)$/)).toBe(ports.join(' '));
    expect(all(CLUSTER, /containerPort: (\d+)/).map(Number)).toEqual(ports);
    expect(all(CONFIG, /listen = "0\.0\.0\.0:(\d+)"$/).map(Number)).toEqual(ports);
    expect(one(CLUSTER, /targetPort: (\w+)/)).toBe('http');
    expect(one(COMPOSE, /127\.0\.0\.1:\d+:(8\d+)"/)).toBe(String(ports[0]));
    const scraped = one(textOf('deploy/observe/prometheus.yaml'), /sluice:(\d+)/);
    expect([scraped, one(COMPOSE, /AI_METRICS_LISTEN: \S+:(\d+)$/)]).toEqual([
      String(ports[1]),
      String(ports[1]),
    ]);
    // Off the host, and in a pod behind the policy.
    expect(DEFAULTS.metrics_listen.host).toBe('127.0.0.1');
  });

  test('probes ask for what the admin listener answers', () => {
    const probes = [
      ...CLUSTER.matchAll(/(\w+)Probe:\n +httpGet: \{ path: (\S+), port: (\w+) \}/g),
    ].map(([, probe, path, port]) => [probe, path, port]);
    expect(probes).toEqual([
      ['startup', '/readyz', 'metrics'],
      ['readiness', '/readyz', 'metrics'],
      ['liveness', '/livez', 'metrics'],
    ]);
    const { port } = DEFAULTS.metrics_listen;
    const health = one(IMAGE, /fetch\('http:\/\/127\.0\.0\.1:(\d+\/\w+)'\)/);
    expect(health).toBe(`${port}/readyz`);
    const admin = textOf('src/node/admin.ts');
    for (const path of ['/readyz', '/livez']) expect(admin).toContain(`case '${path}':`);
  });

  test('what is started is there, in the unit and in the image', () => {
    const started = one(UNIT, /^ExecStart=(.+) serve --config \S+$/).split(' ');
    const entry = JSON.parse(one(IMAGE, /^ENTRYPOINT (.+)$/)) as readonly string[];
    expect(entry).toEqual(started);
    for (const path of started)
      expect(existsSync(path.replace('/opt/sluice', ROOT)), path).toBe(true);
    expect(one(IMAGE, /^HEALTHCHECK[^[]+\[("[^"]+")/)).toBe(JSON.stringify(entry[0]));
    expect(all(IMAGE, /^WORKDIR (\S+)$/)).toEqual(['/opt/sluice', '/opt/sluice']);
  });

  test('what the image copies is there, and the build may see it', () => {
    const copied = all(IMAGE, /^COPY (?!--from)(.+) \S+$/).flatMap((paths) => paths.split(' '));
    const seen = all(IGNORE, /^!(\S+)$/);
    for (const path of copied) {
      expect(existsSync(join(ROOT, path)), path).toBe(true);
      expect(
        seen.some((name) => name === path || name.startsWith(`${path}/`)),
        path,
      ).toBe(true);
    }
    expect(copied).toContain('src');
  });

  test('the ConfigMap holds a configuration that the gateway takes, and its paths are mounted', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-deploy-'));
    const mounts = all(CLUSTER, /mountPath: ([^ ,]+)/);
    const [keys = '', ...others] = all(CONFIG, /"file:(\S+)\/\w+"/);
    expect([mounts.includes(keys), others]).toEqual([true, []]);
    for (const name of all(CONFIG, /"file:\S+\/(\w+)"/)) writeFileSync(join(folder, name), 'sk-x');
    const path = join(folder, 'config.toml');
    writeFileSync(path, CONFIG.replaceAll(`file:${keys}`, `file:${folder}`));
    const { config } = loadConfig({ env: {}, path });
    for (const file of [config.snapshotPath, config.usageSpillPath])
      expect(mounts).toContain(file?.replace(/\/[^/]+$/, ''));
    const named = JSON.parse(one(CLUSTER, /args: (\[.+\])$/)) as readonly string[];
    expect(mounts.map((mount) => `${mount}/config.toml`)).toContain(named.at(-1));
    // The unit's own folder for both files is the same.
    expect(config.snapshotPath).toBe(
      `/var/lib/${one(UNIT, /^StateDirectory=(\w+)$/)}/deny.snapshot`,
    );
    expect(config.workers).toBe(Number(one(CLUSTER, /requests: \{ cpu: "(\d+)"/)));
  });

  test('the image and the pod agree about the user and the version', () => {
    const [user, group] = one(IMAGE, /^USER (\d+:\d+)$/).split(':');
    expect(one(CLUSTER, /runAsUser: (\d+)$/)).toBe(user);
    expect(one(CLUSTER, /runAsGroup: (\d+)$/)).toBe(group);
    expect(one(CLUSTER, /fsGroup: (\d+)$/)).toBe(group);
    expect(one(COMPOSE, /"chown", "(\S+)"/)).toBe(`${user}:${group}`);
    expect(one(CLUSTER, /image: sluice:(\S+)$/)).toBe(VERSION);
  });

  test("of the front end's binaries the image keeps its own platform's, and a foreign platform fails", () => {
    const modules = mkdtempSync(join(tmpdir(), 'sluice-prune-'));
    const bin = join(modules, 'uWebSockets.js/dist/bin');
    const nested = join(modules, 'node/node_modules/node-of-a-platform');
    for (const folder of [bin, nested]) mkdirSync(folder, { recursive: true });
    const names = readdirSync(join(ROOT, 'node_modules/uWebSockets.js/dist/bin'));
    for (const name of names) writeFileSync(join(bin, name), '');
    const prune = () =>
      spawnSync(process.execPath, [join(ROOT, 'deploy/keep-own-binaries.js'), modules], {
        encoding: 'utf8',
      });
    const own = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;
    expect([prune().status, readdirSync(bin), existsSync(nested)]).toEqual([0, [own], false]);
    rmSync(join(bin, own));
    expect(prune()).toMatchObject({ status: 1, stderr: expect.stringMatching(/no front end/) });
  });

  test('systemd finds nothing wrong with the unit', (ctx) => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-unit-'));
    const path = join(folder, 'sluice.service');
    // It looks whether what is started can be executed.
    // By a link: a unit would have to escape the blanks of the folder that this is in.
    const root = join(folder, 'root');
    symlinkSync(ROOT, root);
    writeFileSync(path, UNIT.replaceAll('/opt/sluice/', `${root}/`));
    const { error, status, stderr } = spawnSync('systemd-analyze', ['verify', path], {
      encoding: 'utf8',
    });
    if (error !== undefined) ctx.skip('needs systemd-analyze, which is not here');
    // It may say something of the machine's own units as well.
    const said = stderr.split('\n').filter((line) => line.includes('sluice.service'));
    expect([status, said]).toEqual([0, []]);
  });
});
