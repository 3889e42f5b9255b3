import type { Detector, Finding, RunKind } from '../guard.ts';
import { TextWindow } from '../text-window.ts';
import { WordTrie } from '../word-trie.ts';
import { ipv4End, ipv6End } from './addresses.ts';
import { cardEnd } from './cards.ts';
import { ALNUM, DIGIT, HEX, LETTER, LOWER, RUN, traitsOf, UPPER } from './characters.ts';
import { DigitGroups } from './digit-groups.ts';
import { domainEnd, isNobodys, LOCAL_PART_UNITS } from './email.ts';
import { ibanEnd } from './ibans.ts';
import { KEY_SHAPES } from './key-shapes.ts';
import { Keys, pemEnd, urlPassword } from './keys.ts';
import { bracketedEnd, internationalEnd, nationalEnd, toldEnd } from './phones.ts';
import { PII_KINDS, type PiiKind } from './pii-kinds.ts';
import { NOT_FOUND, Span } from './span.ts';
import { KEY_WORDS, NamedGap, PASSWORD_WORDS, toldSecret } from './told-secrets.ts';

/** The most that a finding can be long, or that is held back for what may become one: UTF-16 units (a private key in PEM). */
export const MOST_HELD_UNITS = 4_000;

/**
 * What is read of a run at once. A longer one is nobody's address: it is read in parts, each but its last
 * LOCAL_PART_UNITS, which may stand in front of an `@`.
 */
const PART_UNITS = 256;

const PLUS = 0x2b;
const HYPHEN = 0x2d;
const DOT = 0x2e;
const BRACKET = 0x28;
const CLOSING = 0x29;
const SIGN = 0x40;
const UNDERSCORE = 0x5f;

const PHONE_WORDS: readonly string[] = [
  ...['phone', 'telephone', 'cellphone', 'cell', 'mobile', 'tel', 'fax', 'whatsapp', 'call'],
  ...['telefon', 'telefono', 'handy', 'mobil', 'portable'],
];
const SCHEMES: readonly string[] = [
  ...['postgres://', 'postgresql://', 'mysql://', 'mariadb://', 'mongodb://', 'mongodb+srv://'],
  ...['redis://', 'rediss://', 'amqp://', 'amqps://', 'nats://', 'clickhouse://', 'mssql://'],
  ...['http://', 'https://', 'ftp://', 'sftp://', 'ssh://', 'smtp://', 'smtps://', 'ldap://'],
];
const PEM = '-----BEGIN ';
const JWT = 'eyJ';

/** Indices of WORDS: what a word that was met asks for. */
const AT_JWT = KEY_SHAPES.length;
const AT_PEM = AT_JWT + 1;
const AT_SCHEMES = AT_PEM + 1;
const AT_PASSWORDS = AT_SCHEMES + SCHEMES.length;
const AT_KEYS = AT_PASSWORDS + PASSWORD_WORDS.length;
const AT_PHONES = AT_KEYS + KEY_WORDS.length;
const WORDS = new WordTrie([
  ...KEY_SHAPES.map(({ prefix }) => prefix),
  JWT,
  PEM,
  ...SCHEMES,
  ...PASSWORD_WORDS,
  ...KEY_WORDS,
  ...PHONE_WORDS,
]);

/**
 * Finds personal data and secrets by their shape, in one pass over the text. Steps from one fresh place to the next: a step is
 * decided by what stands behind its place alone, never by what stood in front of it, so that a text is scanned alike wherever it
 * was cut; a step that had to look behind the text's end is not decided, and what begins there is held back. Whatever is
 * looked for reads a bounded number of units from its place, so that no text costs more than its length.
 *
 * A run (what may stand in front of an `@`) is one step, or several where it is long. Within one every beginning of a word is
 * a place where something may begin.
 */
export class PiiDetector implements Detector {
  readonly name = 'pii';
  readonly #window = new TextWindow();
  readonly #groups = new DigitGroups();
  readonly #keys = new Keys();
  readonly #gap = new NamedGap();
  readonly #found = new Span();
  #what: PiiKind = 'secret';
  readonly #email: boolean;
  readonly #phone: boolean;
  readonly #iban: boolean;
  readonly #card: boolean;
  readonly #ip: boolean;
  readonly #secret: boolean;

  /** @param kinds what is looked for (`detect`) */
  constructor(kinds: readonly PiiKind[] = PII_KINDS) {
    this.#email = kinds.includes('email');
    this.#phone = kinds.includes('phone');
    this.#iban = kinds.includes('iban');
    this.#card = kinds.includes('card');
    this.#ip = kinds.includes('ip');
    this.#secret = kinds.includes('secret');
  }

  scan(
    text: string,
    _kind: RunKind,
    isEnd: boolean,
  ): { readonly findings: readonly Finding[]; readonly settledTo: number } {
    const window = this.#window;
    window.open(text);
    this.#keys.reset();
    const findings: Finding[] = [];
    let at = 0;
    while (at < text.length) {
      const traits = traitsOf(text.charCodeAt(at));
      if ((traits & RUN) === 0 && text.charCodeAt(at) !== BRACKET) {
        at++;
        continue;
      }
      window.touched = false;
      const next = (traits & RUN) !== 0 ? this.#run(at) : this.#bracket(at);
      if (window.touched && !isEnd) break;
      if (next < 0) {
        findings.push({ from: this.#found.from, to: this.#found.to, what: this.#what });
        at = this.#found.to;
      } else at = next;
    }
    window.close();
    return { findings, settledTo: at };
  }

  /** @returns where the next step begins; FOUND: behind what `#found` tells */
  #run(from: number): number {
    const window = this.#window;
    const most = from + PART_UNITS;
    let end = from;
    let before = 0;
    // Most words have one beginning.
    let beginnings = 0;
    for (let traits = traitsOf(window.at(from)); end < most && (traits & RUN) !== 0; ) {
      if (begins(before, traits)) beginnings++;
      before = traits;
      end++;
      if (end < most) traits = traitsOf(window.at(end));
    }
    const isPart = end === most;
    const last = isPart ? end - LOCAL_PART_UNITS : end;
    const address = this.#email && !isPart ? this.#addressStart(from, end) : last;
    before = 0;
    for (let at = from; at < last && beginnings > 0; at++) {
      if (at === address) return this.#foundAt(at, this.#addressEnd, 'email');
      const code = window.at(at);
      const traits = traitsOf(code);
      if (begins(before, traits)) {
        beginnings--;
        if (this.#word(at, code, traits, from)) return FOUND;
      }
      before = traits;
    }
    return address < last ? this.#foundAt(address, this.#addressEnd, 'email') : last;
  }

  #addressEnd = 0;

  /** @returns where the address begins that the run stands in front of; `end` where it is none */
  #addressStart(from: number, end: number): number {
    if (this.#window.at(end) !== SIGN) return end;
    const to = domainEnd(this.#window, end + 1);
    const start = Math.max(from, end - LOCAL_PART_UNITS);
    if (to === NOT_FOUND || isNobodys(this.#window, start, end, to)) return end;
    this.#addressEnd = to;
    return start;
  }

  /** @param from what stands in front of it does not count */
  #word(at: number, code: number, traits: number, from: number): boolean {
    if ((traits & DIGIT) !== 0) return this.#number(at, from);
    if (code === PLUS) return this.#international(at);
    if ((traits & LETTER) !== 0) {
      if (this.#iban && this.#mayBeIban(at) && this.#is(at, ibanEnd(this.#window, at), 'iban')) {
        return true;
      }
      if (this.#ip && (traits & HEX) !== 0 && this.#is(at, ipv6End(this.#window, at), 'ip')) {
        return true;
      }
    } else if (code !== HYPHEN) return false;
    return (this.#secret || this.#phone) && this.#named(at);
  }

  /** Two letters, then digits: nearly no word goes on like that. */
  #mayBeIban(at: number): boolean {
    return (traitsOf(this.#window.at(at + 2)) & DIGIT) !== 0;
  }

  #number(at: number, from: number): boolean {
    const window = this.#window;
    const before = at > from ? window.at(at - 1) : 0;
    // Part of a name, or behind a decimal point.
    if (before === UNDERSCORE) return false;
    if (before === DOT && at - 1 > from && (traitsOf(window.at(at - 2)) & DIGIT) !== 0)
      return false;
    if (this.#ip) {
      if (this.#is(at, ipv4End(window, at), 'ip')) return true;
      if (this.#is(at, ipv6End(window, at), 'ip')) return true;
    }
    if (!this.#card && !this.#phone) return false;
    this.#groups.read(window, at);
    if (this.#card && this.#is(at, cardEnd(window, this.#groups), 'card')) return true;
    return this.#phone && this.#is(at, nationalEnd(window, this.#groups), 'phone');
  }

  #international(at: number): boolean {
    if (!this.#phone || (traitsOf(this.#window.at(at + 1)) & DIGIT) === 0) return false;
    this.#groups.read(this.#window, at + 1);
    return this.#is(at, internationalEnd(this.#window, this.#groups), 'phone');
  }

  /** `(555) 123-4567`: the one finding that begins with what is in no run. */
  #bracket(at: number): number {
    const window = this.#window;
    if (!this.#phone || (traitsOf(window.at(at + 1)) & DIGIT) === 0) return at + 1;
    this.#groups.read(window, at + 1);
    const isArea = window.at(this.#groups.ends[0] ?? 0) === CLOSING;
    return isArea && this.#is(at, bracketedEnd(window, this.#groups), 'phone') ? FOUND : at + 1;
  }

  /** What a word tells: that it begins a key, or that a key or a number stands behind it. */
  #named(at: number): boolean {
    const word = WORDS.longest(this.#window, at);
    if (word < 0) return false;
    const end = WORDS.end;
    if (word < AT_PASSWORDS) return this.#secret && this.#shaped(at, word, end);
    if (word >= AT_PHONES) return this.#phone && this.#toldPhone(end);
    if (!this.#secret) return false;
    const value = this.#gap.end(this.#window, end);
    if (value < 0) return false;
    const { assigns } = this.#gap;
    // What has a shape of its own may be longer than what has none.
    const shaped = WORDS.longest(this.#window, value);
    if (shaped >= 0 && shaped < AT_SCHEMES && this.#shaped(value, shaped, WORDS.end)) return true;
    this.#what = 'secret';
    return toldSecret(this.#window, value, word < AT_KEYS, assigns, this.#found);
  }

  /** @param word which one begins at `at`, of those that begin a secret */
  #shaped(at: number, word: number, end: number): boolean {
    const window = this.#window;
    if (word === AT_JWT) return this.#is(at, this.#keys.tokenEnd(window, at), 'secret');
    if (word === AT_PEM) return this.#is(at, pemEnd(window, at, end), 'secret');
    if (word >= AT_SCHEMES) {
      this.#what = 'secret';
      return urlPassword(window, end, this.#found);
    }
    const shape = KEY_SHAPES[word];
    return shape !== undefined && this.#is(at, this.#keys.keyEnd(window, at, end, shape), 'secret');
  }

  #toldPhone(end: number): boolean {
    const window = this.#window;
    let at = this.#gap.end(window, end);
    if (at < 0) return false;
    const isInternational = window.at(at) === PLUS;
    const from = isInternational || window.at(at - 1) !== BRACKET ? at : at - 1;
    if (isInternational) at++;
    if ((traitsOf(window.at(at)) & DIGIT) === 0) return false;
    this.#groups.read(window, at);
    return this.#is(from, toldEnd(window, this.#groups), 'phone');
  }

  #is(from: number, to: number, what: PiiKind): boolean {
    if (to === NOT_FOUND) return false;
    this.#what = what;
    return this.#found.set(from, to);
  }

  #foundAt(from: number, to: number, what: PiiKind): number {
    this.#what = what;
    this.#found.set(from, to);
    return FOUND;
  }
}

/** A word begins behind what is in none, and where a name in camel case goes on. */
function begins(before: number, traits: number): boolean {
  return (before & ALNUM) === 0 || ((before & LOWER) !== 0 && (traits & UPPER) !== 0);
}

/** Instead of a place. */
const FOUND = -1;
