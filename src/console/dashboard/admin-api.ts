import { useEffect, useState } from 'preact/hooks';

/** What the admin API refused, as its problem document says. */
export class Refused extends Error {
  readonly status: number;
  /** Of the closed table of problems; `unreachable` where nothing answered. */
  readonly code: string;
  readonly title: string;
  readonly parts: readonly Part[];

  constructor(status: number, problem: Readonly<Record<string, unknown>>) {
    super(typeof problem['detail'] === 'string' ? problem['detail'] : '');
    this.status = status;
    this.code = typeof problem['code'] === 'string' ? problem['code'] : '';
    this.title = typeof problem['title'] === 'string' ? problem['title'] : `Status ${status}.`;
    this.parts = Array.isArray(problem['parts']) ? (problem['parts'] as readonly Part[]) : [];
  }
}

/** One thing that is wrong with a value. */
export interface Part {
  readonly key: string;
  readonly found: string;
  readonly expected: string;
}

export interface Answered<T> {
  readonly value: T;
  /** Of what can be written, without its quotes; null: it has none. */
  readonly etag: string | null;
}

type Query = Readonly<Record<string, string | undefined>>;

const BASE = '/admin/v1';

/** What a session's writes must carry, so that no other page can make them. */
let csrf: string | null = null;
let signedOut: () => void = () => {};

/** @param onSignedOut called once the gateway knows the session no more */
export function keepSession(token: string | null, onSignedOut: () => void): void {
  csrf = token;
  signedOut = onSignedOut;
}

/** @returns an address that the browser may follow by itself, as for a download */
export function addressTo(path: string, query: Query = {}): string {
  const said = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') said.set(name, value);
  }
  const text = said.toString();
  return `${BASE}${path}${text === '' ? '' : `?${text}`}`;
}

/** @throws Refused */
export async function read<T>(
  path: string,
  query: Query = {},
  signal: AbortSignal | null = null,
): Promise<Answered<T>> {
  return answered<T>(await asked(addressTo(path, query), { signal }));
}

/**
 * @param ifMatch the revision that is replaced; null: there must be nothing yet
 * @throws Refused
 */
export async function write<T>(
  method: 'POST' | 'PUT' | 'DELETE',
  path: string,
  body: unknown,
  ifMatch: string | null = null,
): Promise<Answered<T>> {
  const fields: Record<string, string> = {};
  if (body !== undefined) fields['content-type'] = 'application/json';
  if (csrf !== null) fields['x-sluice-csrf'] = csrf;
  if (ifMatch !== null) fields['if-match'] = `"${ifMatch}"`;
  const text = body === undefined ? null : JSON.stringify(body);
  return answered<T>(await asked(addressTo(path), { method, headers: fields, body: text }));
}

async function asked(address: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(address, { ...init, credentials: 'same-origin', redirect: 'error' });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new Refused(0, { code: 'unreachable', title: 'The gateway does not answer.' });
  }
}

async function answered<T>(response: Response): Promise<Answered<T>> {
  const text = await response.text();
  const value = parsed(text);
  if (response.ok) {
    const etag = response.headers.get('etag');
    return {
      value: value as T,
      etag: etag === null ? null : etag.replace(/^(?:W\/)?"(.*)"$/, '$1'),
    };
  }
  const refused = new Refused(response.status, (value ?? {}) as Record<string, unknown>);
  if (response.status === 401) signedOut();
  throw refused;
}

function parsed(text: string): unknown {
  try {
    return text === '' ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

export function asRefused(error: unknown): Refused {
  if (error instanceof Refused) return error;
  return new Refused(0, { code: 'unreachable', title: 'This page failed.', detail: String(error) });
}

export interface Asked<T> {
  /** What was answered last, though it may be of another question while `isLoading`; null: nothing yet. */
  readonly value: T | null;
  readonly etag: string | null;
  readonly refused: Refused | null;
  readonly isLoading: boolean;
  /** Asks once more. */
  readonly again: () => void;
}

interface Held<T> {
  readonly at: string;
  readonly answered: Answered<T> | null;
  readonly refused: Refused | null;
}

/**
 * What the admin API says to a question, and again when the question changes; what an older one still brings is dropped.
 *
 * @param path null: nothing is asked
 * @param everyMs asks so often by itself; 0: once
 */
export function useAsked<T>(path: string | null, query: Query = {}, everyMs = 0): Asked<T> {
  const [held, setHeld] = useState<Held<T>>({ at: '', answered: null, refused: null });
  const [round, setRound] = useState(0);
  const question = path === null ? '' : addressTo(path, query);
  const at = `${question} ${round}`;
  useEffect(() => {
    if (path === null) return;
    const stop = new AbortController();
    read<T>(path, query, stop.signal).then(
      (value) => setHeld({ at, answered: value, refused: null }),
      (error: unknown) => {
        if (stop.signal.aborted) return;
        setHeld(({ answered: before }) => ({ at, answered: before, refused: asRefused(error) }));
      },
    );
    return () => stop.abort();
  }, [at]);
  useEffect(() => {
    if (everyMs === 0 || path === null) return;
    const timer = setInterval(() => {
      if (document.visibilityState === 'visible') setRound((before) => before + 1);
    }, everyMs);
    return () => clearInterval(timer);
  }, [question, everyMs]);
  return {
    value: held.answered?.value ?? null,
    etag: held.answered?.etag ?? null,
    refused: held.at === at ? held.refused : null,
    isLoading: path !== null && held.at !== at,
    again: () => setRound((before) => before + 1),
  };
}
