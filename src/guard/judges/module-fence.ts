import module from 'node:module';

/** What a module can load of Node without reaching the network, a file, another thread or another process. */
const HARMLESS: ReadonlySet<string> = new Set([
  'assert',
  'assert/strict',
  'buffer',
  'constants',
  'crypto',
  'events',
  'path',
  'path/posix',
  'perf_hooks',
  'punycode',
  'querystring',
  'stream',
  'string_decoder',
  'timers',
  'timers/promises',
  'url',
  'util',
  'util/types',
  'zlib',
]);

/** Globals that reach the network. */
const NETWORK_GLOBALS = ['fetch', 'WebSocket', 'EventSource', 'XMLHttpRequest'];

/** Ways of `process` past the fence, or to its end. */
const PROCESS_WAYS = [
  'getBuiltinModule',
  'binding',
  '_linkedBinding',
  'dlopen',
  'kill',
  'report',
  'execve',
];

/**
 * Takes from what this thread loads from now on what would let a text leave the machine by accident or by a careless
 * dependency.
 *
 * Not a sandbox: the thread shares the process's memory, and Node has no border inside of a process. Whoever means harm finds
 * a way; who configures a module trusts it as much as the gateway.
 */
export function fenceOff(): void {
  module.registerHooks({
    resolve(specifier, context, nextResolve) {
      const resolved = nextResolve(specifier, context);
      if (!isAllowed(resolved.url))
        throw new Error(`${specifier} is not for guards: it needs "network = true"`);
      return resolved;
    },
  });
  for (const name of NETWORK_GLOBALS) Reflect.deleteProperty(globalThis, name);
  for (const name of PROCESS_WAYS)
    Object.defineProperty(process, name, { value: undefined, configurable: false });
}

function isAllowed(url: string): boolean {
  if (url.startsWith('file:')) return !url.endsWith('.node');
  return url.startsWith('node:') && HARMLESS.has(url.slice('node:'.length));
}

/** Nobody reads what a module prints, and it may print what nobody may read. */
export function silence(): void {
  const nothing = (): boolean => true;
  process.stdout.write = nothing;
  process.stderr.write = nothing;
}
