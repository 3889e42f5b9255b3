/** A server that judges as a test tells it to, over real HTTP. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface AskedServer {
  readonly path: string;
  readonly authorization: string | null;
  readonly body: string;
}

type Answer = (asked: AskedServer, response: ServerResponse, count: number) => void;

export class JudgingServer {
  readonly asked: AskedServer[] = [];
  /** Requests that are there and not answered, now and at most. */
  open = 0;
  mostOpen = 0;
  readonly #server: Server;
  answer: Answer;

  private constructor(answer: Answer) {
    this.answer = answer;
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  static async start(answer: Answer): Promise<JudgingServer> {
    const started = new JudgingServer(answer);
    await new Promise<void>((resolve) => started.#server.listen(0, '127.0.0.1', resolve));
    return started;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Also ends what is open: from now on nobody answers there. */
  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.open++;
    this.mostOpen = Math.max(this.mostOpen, this.open);
    response.on('close', () => this.open--);
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const asked = {
      path: request.url ?? '',
      authorization: request.headers.authorization ?? null,
      body: Buffer.concat(pieces).toString(),
    };
    this.asked.push(asked);
    this.answer(asked, response, this.asked.length);
  }
}

export function json(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

/** What a Presidio analyzer finds of the words that it is told: offsets in code points, as Python counts. */
export function presidioFinds(text: string, words: Readonly<Record<string, string>>): unknown[] {
  const points = [...text];
  return Object.entries(words).flatMap(([word, kind]) => {
    const wanted = [...word];
    return points.flatMap((_, at) =>
      wanted.every((point, i) => points[at + i] === point)
        ? [
            {
              start: at,
              end: at + wanted.length,
              entity_type: kind,
              score: 0.85,
              analysis_explanation: null,
              recognition_metadata: { recognizer_name: 'Test' },
            },
          ]
        : [],
    );
  });
}
