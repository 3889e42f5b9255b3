import type { GuardCounts } from '../settle/metrics.ts';
import type {
  Edit,
  Guard,
  GuardPhase,
  Hearing,
  JudgeContext,
  JudgedRun,
  Judgement,
  Placeholders,
  RunKind,
} from './guard.ts';
import { type Editor, EditStage, WatchStage } from './text/edit-stage.ts';
import { JudgeStage } from './text/judge-stage.ts';
import { LAST_STAGE, type RunStage, type TextPiece } from './text/text-piece.ts';

/** Guards of one policy, resolved at boot. */
export interface GuardSet {
  /** In the order in which the policy names them, which is that of requests; answers go through them from the last to the first. */
  readonly guards: readonly Guard[];
  /** For one exchange. */
  placeholders(): Placeholders;
}

/** What one guard did to one exchange: for its fact. */
interface Done {
  readonly action: string;
  readonly found: Map<string, number>;
  failed: number;
}

/** Whoever is told that a guard will not have it. */
export interface GuardHost {
  /** Nothing more may leave. */
  onBlocked(): void;
  /** What a judge was asked for is known: what was held may leave. */
  onJudged(): void;
  /** A bug was met. */
  onBroken(error: unknown): void;
}

/** Kinds of finds that are told of one guard: a closed list of its own is shorter. */
const KINDS_MAX = 64;

/**
 * The guards of one exchange: what they found and did, and what is masked. Ends with its exchange; no text of it is in a fact, a
 * log or a metric.
 */
export class GuardSession {
  readonly #set: GuardSet;
  readonly #context: Pick<JudgeContext, 'tenant' | 'requestId'>;
  readonly #done = new Map<string, Done>();
  readonly #hearings = new Map<string, Hearing>();
  #placeholders: Placeholders | null = null;
  #abort: AbortController | null = null;
  #host: GuardHost | null = null;
  #runs = 0;
  /** Judges that were asked, and have not said anything yet. */
  #asked = 0;
  /** As the request asks for it; null before it was read, and where its body does not say it. */
  model: string | null = null;
  /** Of texts that guards were given, and of those beside them that none can read, in bytes. */
  scannedBytes = 0;
  unscannedBytes = 0;
  /** The guard that will not have it, and why: a kind of find, or what failed. */
  blockedBy: { readonly guard: string; readonly what: string } | null = null;
  /** Texts of the answer that were changed, or put back: nobody may keep it for somebody else. */
  isChanged = false;
  /** Texts that left before it was known whether they are a part of something. */
  heldTooLong = 0;

  constructor(set: GuardSet, context: Pick<JudgeContext, 'tenant' | 'requestId'>) {
    this.#set = set;
    this.#context = context;
  }

  set host(host: GuardHost) {
    this.#host = host;
  }

  /** The guards of a phase, in their order. */
  of(phase: GuardPhase): readonly Guard[] {
    const guards = this.#set.guards.filter(({ phases }) => phases.includes(phase));
    return phase === 'request' ? guards : guards.reverse();
  }

  /** Whether the answer has to be read at all. */
  get guardsAnswers(): boolean {
    return this.#placeholders?.isEmpty === false || this.of('response').length > 0;
  }

  /** For how long a part of an answer may be held, in milliseconds. */
  get maxHoldMs(): number {
    const readers = this.of('response');
    // Where none reads it, what is held may be a placeholder.
    const guards = readers.length > 0 ? readers : this.#set.guards;
    return Math.min(...guards.map(({ maxHoldMs }) => maxHoldMs));
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    return this.#abort.signal;
  }

  /**
   * Placeholders of this exchange are its own. Where the provider has kept what was said before, some of an earlier exchange stand
   * there, and one of theirs would be told as a value of this one.
   */
  mayPutBack = true;
  /** Nobody waits for anything any more. */
  isOver = false;
  /** The answer tells of a failure: what of it cannot be read is a server's page, and nobody's text. */
  isFailure = false;

  /** Somebody's text that nobody can read. */
  unscanned(phase: GuardPhase, bytes: number): void {
    if (bytes === 0) return;
    this.unscannedBytes += bytes;
    this.unread(phase);
  }

  /** The same of what is counted as it passes, if it may. */
  unread(phase: GuardPhase): void {
    if (phase === 'response' && this.isFailure) return;
    const strict = this.of(phase).find(({ onUnscanned }) => onUnscanned === 'block');
    if (strict !== undefined) this.block(strict, 'unscanned');
  }

  block({ name }: Guard, what: string): void {
    if (this.blockedBy !== null) return;
    this.blockedBy = { guard: name, what };
    this.#host?.onBlocked();
  }

  found(guard: Guard, what: string): void {
    const { found } = this.#doneOf(guard);
    if (found.has(what) || found.size < KINDS_MAX) found.set(what, (found.get(what) ?? 0) + 1);
  }

  /** A guard could not say. @returns whether it may pass all the same */
  failed(guard: Guard, what: string): boolean {
    this.#doneOf(guard).failed++;
    if (guard.onError === 'block') this.block(guard, what);
    return guard.onError === 'pass';
  }

  #doneOf({ name, action }: Guard): Done {
    const known = this.#done.get(name);
    if (known !== undefined) return known;
    const made: Done = { action, found: new Map(), failed: 0 };
    this.#done.set(name, made);
    return made;
  }

  get placeholders(): Placeholders {
    this.#placeholders ??= this.#set.placeholders();
    return this.#placeholders;
  }

  /** Told of each text of a request before any is masked. */
  saw(text: string): void {
    if (this.#set.guards.some(({ action }) => action === 'mask')) this.placeholders.saw(text);
  }

  /**
   * A text as a guard with a detector leaves it.
   * @param isEnd nothing follows: it is settled whole
   * @returns what is settled of it; null: it may not pass
   */
  edited(
    guard: Guard,
    phase: GuardPhase,
    kind: RunKind,
    text: string,
    isEnd: boolean,
  ): { readonly text: string; readonly settledTo: number } | null {
    const found = new DetectorEditor(this, guard, phase).edits(text, kind, isEnd);
    if (found === null) return null;
    const { edits, settledTo } = found;
    const settled = settledTo === text.length ? text : text.slice(0, settledTo);
    return { text: withEdits(settled, edits), settledTo };
  }

  /** Puts back what was masked, in texts that are whole. */
  restore(runs: readonly { readonly kind: RunKind; text: string }[]): void {
    const placeholders = this.#placeholders;
    if (placeholders === null || placeholders.isEmpty) return;
    for (const run of runs)
      run.text = withEdits(run.text, placeholders.restored(run.text, run.kind, true).edits);
  }

  contextOf(guard: Guard): JudgeContext {
    return { ...this.#context, model: this.model, guard: guard.name };
  }

  hearingOf(guard: Guard): Hearing | null {
    const { listener, name } = guard;
    if (listener === null) return null;
    const known = this.#hearings.get(name);
    if (known !== undefined) return known;
    const made = listener.open(this.contextOf(guard));
    this.#hearings.set(name, made);
    return made;
  }

  /** What a judge says; it is heard of by `settle`, once, unless the exchange is over. */
  ask(
    guard: Guard,
    phase: GuardPhase,
    runs: readonly JudgedRun[],
    settle: (judgement: Judgement) => void,
  ): void {
    const { judge } = guard;
    if (judge === null) return;
    const { signal } = this;
    const told = (judgement: Judgement): void => {
      this.#asked--;
      if (signal.aborted) return;
      try {
        settle(judgement);
      } catch (error) {
        this.#host?.onBroken(error);
      }
    };
    this.#asked++;
    judge
      .judge(phase, runs, this.contextOf(guard), signal)
      .then(told, () => told({ verdict: 'failed', why: 'judge' }));
  }

  /** Somebody is asked: what comes meanwhile is held. */
  get isAsking(): boolean {
    return this.#asked > 0;
  }

  judged(): void {
    this.#host?.onJudged();
  }

  /** @returns what a judgement makes of texts; null: they may not pass */
  outcome(
    guard: Guard,
    runs: readonly JudgedRun[],
    judgement: Judgement,
  ): readonly (string | null)[] | null {
    const nothing = runs.map(() => null);
    switch (judgement.verdict) {
      case 'keep':
        return nothing;
      case 'replace':
        this.found(guard, 'replaced');
        return judgement.texts;
      case 'flag':
        for (const what of judgement.what) this.found(guard, what);
        return nothing;
      case 'block':
        for (const what of judgement.what ?? OBJECTED) this.found(guard, what);
        this.block(guard, judgement.why);
        return null;
      default:
        return this.failed(guard, judgement.why) ? nothing : null;
    }
  }

  /** What each run of an answer goes through. */
  stagesOf(kind: RunKind): RunStage {
    const run = ++this.#runs;
    const placeholders = this.#placeholders;
    // Behind all guards: what stands for the caller's own values is told as these.
    let next: RunStage =
      placeholders === null || placeholders.isEmpty
        ? LAST_STAGE
        : new EditStage(new RestoringEditor(placeholders), kind, LAST_STAGE);
    // From the last one to the first: each is made with the one behind it.
    for (const guard of [...this.of('response')].reverse())
      next = this.#stageOf(guard, kind, run, next);
    return next;
  }

  #stageOf(guard: Guard, kind: RunKind, run: number, next: RunStage): RunStage {
    if (guard.judge !== null) return new JudgeStage(this, guard, kind, next);
    const hearing = this.hearingOf(guard);
    if (hearing !== null) return new HearingStage(hearing, kind, run, next);
    if (guard.detector === null) return next;
    const editor = new DetectorEditor(this, guard, 'response');
    return guard.action === 'flag'
      ? new WatchStage(editor, kind, next)
      : new EditStage(editor, kind, next);
  }

  /** A bug was met. */
  broke(error: unknown): void {
    if (!this.isOver) this.#host?.onBroken(error);
  }

  over(): void {
    this.isOver = true;
    this.#abort?.abort();
    for (const hearing of this.#hearings.values()) hearing.over();
    this.#hearings.clear();
    this.#placeholders = null;
  }

  get counts(): GuardCounts {
    let findings = 0;
    let failures = 0;
    for (const { found, failed } of this.#done.values()) {
      failures += failed;
      for (const count of found.values()) findings += count;
    }
    return {
      requests: 1,
      findings,
      failures,
      blocked: this.blockedBy === null ? 0 : 1,
      held_too_long: this.heldTooLong,
      scanned_bytes: this.scannedBytes,
      unscanned_bytes: this.unscannedBytes,
    };
  }

  /** A fact's member, as JSON: what was found by guard and kind, and how much was read. */
  get report(): string {
    const guards = Object.fromEntries(
      [...this.#done].map(([name, { action, found, failed }]) => [
        name,
        { action, found: Object.fromEntries(found), ...(failed === 0 ? {} : { failed }) },
      ]),
    );
    return JSON.stringify({
      found: guards,
      scanned_bytes: this.scannedBytes,
      total_bytes: this.scannedBytes + this.unscannedBytes,
      ...(this.heldTooLong === 0 ? {} : { held_too_long: this.heldTooLong }),
      ...(this.blockedBy === null ? {} : { blocked_by: this.blockedBy.guard }),
    });
  }
}

/** In facts, of a judge with nothing but a sentence: there may be a part of the text in it. */
const OBJECTED: readonly string[] = ['blocked'];

function withEdits(text: string, edits: readonly Edit[]): string {
  let edited = '';
  let at = 0;
  for (const { from, to, text: instead } of edits) {
    edited += text.slice(at, from) + instead;
    at = to;
  }
  return edits.length === 0 ? text : edited + text.slice(at);
}

/** What stands in place of what is not put back. */
function redacted(what: string): string {
  return `[${what.toUpperCase()}]`;
}

/** What is done about what a detector finds. */
class DetectorEditor implements Editor {
  readonly #session: GuardSession;
  readonly #guard: Guard;
  readonly #phase: GuardPhase;

  constructor(session: GuardSession, guard: Guard, phase: GuardPhase) {
    this.#session = session;
    this.#guard = guard;
    this.#phase = phase;
  }

  edits(
    text: string,
    kind: RunKind,
    isEnd: boolean,
  ): { readonly edits: readonly Edit[]; readonly settledTo: number } | null {
    const { detector, action } = this.#guard;
    if (detector === null || this.#session.blockedBy !== null) return null;
    try {
      const { findings, settledTo } = detector.scan(text, kind, isEnd);
      const edits: Edit[] = [];
      for (const { from, to, what } of findings) {
        this.#session.found(this.#guard, what);
        if (action === 'block') this.#session.block(this.#guard, what);
        else if (action !== 'flag')
          edits.push({ from, to, text: this.#instead(what, text.slice(from, to)) });
      }
      return this.#session.blockedBy === null ? { edits, settledTo } : null;
    } catch {
      return this.#session.failed(this.#guard, 'detector')
        ? { edits: NO_EDITS, settledTo: text.length }
        : null;
    }
  }

  /** An answer's finds are nobody's to be put back: the caller never had them. */
  #instead(what: string, value: string): string {
    const { action } = this.#guard;
    const isKept = action === 'mask' && this.#phase === 'request' && this.#session.mayPutBack;
    if (!isKept) return redacted(what);
    return this.#session.placeholders.mask(what, value) ?? redacted(what);
  }

  straddled({ text }: Edit): string | null {
    return this.#session.failed(this.#guard, 'held_too_long') ? text : null;
  }
}

class RestoringEditor implements Editor {
  readonly #placeholders: Placeholders;

  constructor(placeholders: Placeholders) {
    this.#placeholders = placeholders;
  }

  edits(text: string, kind: RunKind, isEnd: boolean) {
    return this.#placeholders.restored(text, kind, isEnd);
  }

  /** Half of it has left: the other half is told as it is. */
  straddled(_edit: Edit, rest: string): string {
    return rest;
  }
}

/** Tells somebody what leaves. */
class HearingStage implements RunStage {
  readonly #hearing: Hearing;
  readonly #kind: RunKind;
  readonly #run: number;
  readonly #next: RunStage;

  constructor(hearing: Hearing, kind: RunKind, run: number, next: RunStage) {
    this.#hearing = hearing;
    this.#kind = kind;
    this.#run = run;
    this.#next = next;
  }

  get heldUnits(): number {
    return this.#next.heldUnits;
  }

  push(piece: TextPiece): void {
    this.#hearing.heard('response', this.#kind, this.#run, piece.text, false);
    this.#next.push(piece);
  }

  end(): void {
    this.#hearing.heard('response', this.#kind, this.#run, '', true);
    this.#next.end();
  }

  flush(): boolean {
    return this.#next.flush();
  }

  compact(): void {
    this.#next.compact();
  }
}

const NO_EDITS: readonly Edit[] = [];
