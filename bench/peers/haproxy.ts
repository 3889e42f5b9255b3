import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FOLDER, Running } from './processes.ts';

/** One thread; `http-no-delay` is what its manual asks for where parts of a response must leave at once. */
export function startHaproxy(port: number, upstream: number): Promise<Running> {
  const file = join(FOLDER, `haproxy-${port}.cfg`);
  writeFileSync(
    file,
    `global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  http-reuse always
  option http-no-delay
frontend f
  bind 127.0.0.1:${port} backlog 4096
  default_backend b
backend b
  server s 127.0.0.1:${upstream}
`,
  );
  return new Running('haproxy', ['-f', file, '-db', '-q']).listening(port);
}
