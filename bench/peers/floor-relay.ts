// The floor of our own stack: uWebSockets.js and undici with nothing between them. No discipline, no limits, no errors:
// it shows what the parts cost, and is no proxy. node bench/peers/floor-relay.ts PORT UPSTREAM_PORT
import { App } from 'uWebSockets.js';
import { Pool } from 'undici';

const [port = 0, upstream = 0] = process.argv.slice(2).map(Number);
const pool = new Pool(`http://127.0.0.1:${upstream}`, { pipelining: 1 });

App()
  .any('/*', (res, req) => {
    const path = req.getUrl();
    const method = req.getCaseSensitiveMethod();
    let isGone = false;
    res.onAborted(() => {
      isGone = true;
    });
    res.onData((chunk, last) => {
      if (!last) return;
      const body = chunk.byteLength === 0 ? null : Buffer.from(new Uint8Array(chunk));
      pool.dispatch(
        { path, method: method as 'POST', body, headers: { authorization: 'Bearer x' } },
        {
          onRequestStart() {},
          onResponseStart(_controller, status) {
            if (!isGone) res.cork(() => res.writeStatus(String(status)));
          },
          onResponseData(_controller, piece) {
            if (!isGone) res.cork(() => res.write(piece));
          },
          onResponseEnd() {
            if (!isGone) res.cork(() => res.end());
          },
          onResponseError() {
            if (!isGone) res.close();
          },
        },
      );
    });
  })
  .listen('127.0.0.1', port, (socket) => {
    if (socket === false) throw new Error(`cannot listen on ${port}`);
    process.stdout.write('listening\n');
  });
