import { parseArgs } from 'node:util';
import { CHAT_SHAPES } from './chat-shapes.ts';
import { ENDPOINTS } from './endpoints.ts';
import { FAULTS } from './faults.ts';
import { startMock } from './server.ts';

const DEFAULT_PORT = 8081;
const table = (rows: readonly (readonly [string, string])[]): string =>
  rows.map(([name, summary]) => `  ${name.padEnd(26)} ${summary}`).join('\n');

/** Text of `sluice mock --help`, from the tables that the server obeys. */
export function mockHelp(): string {
  return `sluice mock [--port ${DEFAULT_PORT}] [--host 127.0.0.1] [--pace MS] [--quiet]

A provider to develop against: equal requests get equal bytes. --pace waits between events. Any key is
accepted but one that says it is wrong: 401 for sk-wrong and sk-ant-wrong.

Endpoints (by how the path ends, so that every provider's prefix works):
${table(ENDPOINTS.map(({ name, summary }) => [name, summary]))}

Wire shapes, chosen by the field x-mock-provider or by a prefix of the model ("groq/any"):
  ${[...CHAT_SHAPES.keys()].join(' ')}

Faults, chosen by the model's name:
${table(FAULTS.map(({ model, summary }) => [model, summary]))}`;
}

/**
 * Runs the mock until SIGINT or SIGTERM.
 * @returns the exit code
 */
export async function runMock(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      port: { type: 'string', default: String(DEFAULT_PORT) },
      host: { type: 'string', default: '127.0.0.1' },
      pace: { type: 'string', default: '0' },
      quiet: { type: 'boolean', default: false },
    },
  });
  const [port, pace] = [values.port, values.pace].map(Number);
  if (port === undefined || pace === undefined || !(port >= 0 && port < 65_536) || !(pace >= 0)) {
    throw new Error(
      'mock: --port takes 0 to 65535, --pace milliseconds from 0. sluice mock --help says more.',
    );
  }
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  const log = values.quiet ? {} : { log: print };
  const mock = await startMock({ host: values.host, port, eventDelayMs: pace, ...log }).catch(
    (error: NodeJS.ErrnoException) => {
      const option = error.code === 'EADDRINUSE' || error.code === 'EACCES' ? '--port' : '--host';
      throw new Error(
        `mock: cannot listen on ${values.host}:${port} (${error.code}). Choose another ${option}.`,
      );
    },
  );
  print(`mock provider on ${mock.origin}

Point Sluice at it, in config.toml:
  [provider_authorities]
  openai = "${mock.origin}"
  anthropic = "${mock.origin}"
  gemini = "${mock.origin}"

Stop with Ctrl-C.`);
  await new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
  await mock.close();
  return 0;
}
