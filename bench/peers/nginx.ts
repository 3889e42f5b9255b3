import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FOLDER, Running } from './processes.ts';

/** Connections of its one worker; each proxied request takes two. */
const CONNECTIONS = 16_384;

async function start(name: string, port: number, location: string, http: string): Promise<Running> {
  const file = join(FOLDER, `${name}.conf`);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${FOLDER}/${name}-${kind};`)
    .join(' ');
  writeFileSync(
    file,
    `worker_processes 1; daemon off; error_log ${FOLDER}/${name}.log; pid ${FOLDER}/${name}.pid;
worker_rlimit_nofile ${CONNECTIONS}; events { worker_connections ${CONNECTIONS}; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s; ${temporary}
  client_body_buffer_size 64k; client_max_body_size 0;
  ${http}
  server { listen 127.0.0.1:${port} backlog=4096; location / { ${location} } }
}`,
  );
  const args = ['-c', file, '-p', FOLDER];
  return await new Running('nginx', args, { endSignal: 'SIGTERM' }).listening(port);
}

/**
 * One worker that answers every request with the same text; it must hold no apostrophe and no dollar.
 * @param type its content type
 */
export function startStaticUpstream(
  port: number,
  answer: string,
  type = 'application/json',
): Promise<Running> {
  const location = `default_type ${type}; return 200 '${answer}';`;
  return start(`upstream-${port}`, port, location, '');
}

/** The yardstick: `proxy_pass` as one configures it for event streams, one worker, kept connections upstream. */
export function startNginxProxy(port: number, upstream: number): Promise<Running> {
  return start(
    `proxy-${port}`,
    port,
    'proxy_pass http://u; proxy_http_version 1.1; proxy_set_header connection ""; proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 600s;',
    `upstream u { server 127.0.0.1:${upstream}; keepalive 256; keepalive_requests 100000000; keepalive_timeout 600s; }`,
  );
}
