import { WordTrie } from '../word-trie.ts';
import type { InjectionKind } from './injection-kinds.ts';
import { PART, PARTS, PHRASES } from './phrases.ts';
import type { Sentence } from './sentence.ts';

/** Words that may stand between what belongs together: `ignore all of the previous system instructions`. */
const REACH = 6;
/** Words that a `not` reaches over. */
const NOT_REACH = 2;

/** What is added, in hundredths of a certainty. Set by hand on one half of the corpora that `npm run bench:guard` prints. */
const POINTS = {
  override: 75,
  overrideWithoutScope: 35,
  /** Of those two, when nothing says that it is an order. */
  notOrdered: 45,
  extraction: 65,
  role: 25,
  roleStrong: 45,
  /** Of each vice from the second on. */
  vice: 20,
  secrecy: 65,
  address: 12,
  /** Of all weak ones together: they are words of every day. */
  addressMost: 36,
  addressStrong: 50,
  heading: 35,
  template: 40,
  /** Where no template has any business. */
  templateUntrusted: 65,
  hidden: 80,
} as const;
/** What remains, in hundredths, of a sentence that talks about such instructions, or has them in quotes. */
const MENTIONED = 40;
const QUOTED = 60;
const MOST = 100;

const SPACE = 0x20;

const has = (parts: number, part: number): boolean => (parts & (1 << part)) !== 0;
const trie = new WordTrie(PHRASES);

/** How much a sentence looks like an instruction to a model from somebody who has none to give. */
export class SentenceScore {
  /** Hundredths: 0 to 100. */
  points = 0;
  kind: InjectionKind = 'override';
  #drop = -1;
  #scope = -1;
  #tell = -1;
  #not = -1;
  #lead = -1;
  #overridden = 0;
  #extracted = 0;
  #role = 0;
  #secrecy = 0;
  #address = 0;
  #addressStrong = 0;
  #vices = 0;
  #lastVice = -1;
  #frame = 0;
  #isMentioned = false;
  #isMail = false;
  #quoted = 0;
  #met = 0;

  /**
   * @param isUntrusted nobody who may instruct wrote it: a tool's result or a document
   * @param headings headings in it that begin something for a model
   * @param templates marks of conversation templates in it
   */
  read(sentence: Sentence, isUntrusted: boolean, headings: number, templates: number): void {
    this.#reset();
    for (let word = 0; word < sentence.words; word++) {
      const phrase = trie.longest(sentence, sentence.starts[word] ?? 0);
      const isQuoted = (sentence.quoted[word] ?? 0) !== 0;
      if (phrase >= 0) this.#part(sentence, phrase, word, isQuoted);
      else if (this.#near(this.#drop, word) && isMisspelt(sentence, word))
        this.#rules(word, isQuoted);
    }
    if (headings > 0) this.#frame += POINTS.heading;
    if (templates > 0) this.#frame += isUntrusted ? POINTS.templateUntrusted : POINTS.template;
    const hidden = sentence.tags > 0 ? POINTS.hidden : 0;
    this.#sum(isUntrusted, hidden);
  }

  #reset(): void {
    this.#drop = this.#scope = this.#tell = this.#not = this.#lead = this.#lastVice = -1;
    this.#overridden = this.#extracted = this.#role = this.#secrecy = this.#frame = 0;
    this.#address = this.#addressStrong = this.#vices = 0;
    this.#isMentioned = this.#isMail = false;
    this.#quoted = this.#met = 0;
  }

  #part(sentence: Sentence, phrase: number, word: number, isQuoted: boolean): void {
    const parts = PARTS[phrase] ?? 0;
    if (has(parts, PART.mention) || (has(parts, PART.example) && this.#met === 0)) {
      this.#isMentioned = true;
    }
    if (has(parts, PART.vice) && phrase !== this.#lastVice) {
      this.#vices++;
      this.#lastVice = phrase;
    }
    // What the order is about stands before whatever it goes on with.
    if (has(parts, PART.mail) && this.#overridden === 0 && this.#near(this.#drop, word)) {
      this.#isMail = true;
    }
    if (has(parts, PART.not)) this.#not = word;
    if (has(parts, PART.rules)) this.#rules(word, isQuoted);
    if (has(parts, PART.above) && this.#near(this.#drop, word)) {
      this.#override(POINTS.override, isQuoted);
    }
    if (has(parts, PART.hiddenText) && this.#near(this.#tell, word)) {
      this.#extracted = POINTS.extraction;
      this.#meet(isQuoted);
    }
    if (has(parts, PART.drop)) this.#dropped(word, (sentence.opens[word] ?? 0) !== 0);
    if (has(parts, PART.scope)) this.#scope = word;
    if (has(parts, PART.tell) && !this.#isNegated(word)) this.#tell = word;
    if (has(parts, PART.role) || has(parts, PART.roleStrong)) {
      this.#role += has(parts, PART.roleStrong) ? POINTS.roleStrong : POINTS.role;
      this.#meet(isQuoted);
    }
    if (has(parts, PART.secrecy)) {
      this.#secrecy = POINTS.secrecy;
      this.#meet(isQuoted);
    }
    if (has(parts, PART.frame)) this.#frame += POINTS.heading;
    if (has(parts, PART.address)) this.#address += POINTS.address;
    if (has(parts, PART.addressStrong)) {
      this.#addressStrong += POINTS.addressStrong;
      this.#meet(isQuoted);
    }
    if (has(parts, PART.lead)) this.#lead = word;
  }

  #isOrder = false;

  #dropped(word: number, opens: boolean): void {
    if (this.#isNegated(word)) return;
    this.#drop = word;
    // An order begins something, or stands behind what leads to one: `they ignore the rules` is none.
    this.#isOrder = opens || (this.#lead >= 0 && word - this.#lead <= NOT_REACH);
    this.#isMail = false;
  }

  #rules(word: number, isQuoted: boolean): void {
    if (!this.#near(this.#drop, word)) return;
    const isScoped = this.#scope > this.#drop && this.#near(this.#scope, word);
    this.#override(isScoped ? POINTS.override : POINTS.overrideWithoutScope, isQuoted);
  }

  #override(points: number, isQuoted: boolean): void {
    const ordered = this.#isOrder ? points : points - POINTS.notOrdered;
    this.#overridden = Math.max(this.#overridden, ordered, 0);
    this.#meet(isQuoted);
  }

  #meet(isQuoted: boolean): void {
    this.#met++;
    if (isQuoted) this.#quoted++;
  }

  #isNegated(word: number): boolean {
    return this.#not >= 0 && word - this.#not <= NOT_REACH && word > this.#not;
  }

  #near(before: number, word: number): boolean {
    return before >= 0 && word - before <= REACH;
  }

  #sum(isUntrusted: boolean, hidden: number): void {
    // What is about a mail is about no rules, and is left to whoever reads it.
    const override = this.#isMail ? 0 : this.#overridden;
    // In a caller's own prompt it is how one speaks to a model.
    const weak = Math.min(this.#address, POINTS.addressMost);
    const address = isUntrusted ? weak + this.#addressStrong : 0;
    const role = this.#role + Math.max(0, this.#vices - 1) * POINTS.vice;
    let points = Math.min(
      MOST,
      override + this.#extracted + role + this.#secrecy + address + this.#frame,
    );
    if (this.#isMentioned) points = (points * MENTIONED) / MOST;
    if (this.#met > 0 && this.#quoted === this.#met) points = (points * QUOTED) / MOST;
    this.points = Math.min(MOST, Math.round(points) + hidden);
    this.kind = 'override';
    let most = override;
    const stronger = (points: number, kind: InjectionKind): void => {
      if (points <= most) return;
      most = points;
      this.kind = kind;
    };
    stronger(this.#extracted, 'extraction');
    stronger(role, 'role');
    stronger(this.#secrecy, 'secrecy');
    stronger(this.#frame, 'frame');
    stronger(address, 'address');
    stronger(hidden, 'hidden');
  }
}

const RULES_WORD = 'instructions';
/** Letters that may be wrong, missing or too many. */
const MISSPELT = 2;
const ROW = new Uint8Array(RULES_WORD.length + 1);

/** Models read over misspelt words, so that attackers misspell: the one word that most orders of this kind need. */
function isMisspelt(sentence: Sentence, word: number): boolean {
  const start = sentence.starts[word] ?? 0;
  let units = 0;
  while (units <= RULES_WORD.length + MISSPELT && sentence.at(start + units) > SPACE) units++;
  if (Math.abs(units - RULES_WORD.length) > MISSPELT) return false;
  // Levenshtein's distance, a row at a time.
  for (let i = 0; i < ROW.length; i++) ROW[i] = i;
  for (let unit = 0; unit < units; unit++) {
    let diagonal = ROW[0] ?? 0;
    ROW[0] = unit + 1;
    const code = sentence.at(start + unit);
    for (let i = 0; i < RULES_WORD.length; i++) {
      const above = ROW[i + 1] ?? 0;
      const changed = diagonal + (code === RULES_WORD.charCodeAt(i) ? 0 : 1);
      ROW[i + 1] = Math.min(changed, above + 1, (ROW[i] ?? 0) + 1);
      diagonal = above;
    }
  }
  return (ROW[RULES_WORD.length] ?? 0) <= MISSPELT;
}
