import {
  count,
  objectOf,
  replaced,
  summed,
  type Usage,
  type UsageCounts,
  usageCounts,
} from './usage-counters.ts';
import {
  NO_DETAILS,
  replacedDetails,
  summedDetails,
  type UsageDetails,
  usageDetails,
} from './usage-details.ts';

/** One model's part of what an answer cost. */
export interface BillingLine {
  /** Null: the provider does not say which. */
  readonly model: string | null;
  /** What the pass was for: `message`, or the provider's own word (`compaction`, `advisor_message`, `image_gen`). */
  readonly kind: string;
  readonly counts: UsageCounts;
  /** What its price depends on beside the counts. */
  readonly details: UsageDetails | null;
}

/** How often which tool of the provider was used, where it is billed by the use. Names are lower case with underscores. */
export type ToolUses = Readonly<Record<string, number>>;

/** What an answer is billed for, as far as it has told. */
export interface Billed {
  /** All of it; the sum of the lines. Null: it told nothing. */
  readonly counts: UsageCounts | null;
  /** What its price depends on beside the counts; of the answering model where there are lines. */
  readonly details: UsageDetails | null;
  /** Null where it was one model's single pass. */
  readonly lines: readonly BillingLine[] | null;
  /** The tier that served it, in the provider's own word. */
  readonly serviceTier: string | null;
  readonly toolUses: ToolUses;
}

/** Lines and tools of a fact; what goes beyond is summed up in one line `other`, or left out. */
const LINES_MAX = 16;
const TOOLS_MAX = 16;
/** Words of a provider that a fact repeats: a tier, a kind, a tool, a model. */
const WORD_MAX_CHARS = 64;
const MODEL_MAX_CHARS = 256;

const NAME = /^[a-z][a-z0-9_]{0,38}$/;
/** A member that counts uses, and the tool's name in it. */
const COUNTED = /^([a-z][a-z0-9_]{0,38}?)_(?:requests|calls|units)$/;

export const NO_TOOL_USES: ToolUses = {};
const NO_LINES: readonly BillingLine[] = [];

/**
 * Gathers what an answer says of its bill. A later report replaces an earlier one, field by field, whichever is larger:
 * providers correct themselves (a compaction, a server tool), and counts are cumulative.
 */
export class BilledUsage {
  #counts: UsageCounts | null = null;
  #details: UsageDetails | null = null;
  /** Passes that the last report which tells of passes bills beside its root. */
  #passes: readonly BillingLine[] = NO_LINES;
  /** Tokens of tools that are models (OpenAI's image_gen). */
  #toolLines: readonly BillingLine[] = NO_LINES;
  #serviceTier: string | null = null;
  #toolUses: ToolUses = NO_TOOL_USES;
  #calls: ToolUses = NO_TOOL_USES;

  get hasCounts(): boolean {
    return this.#counts !== null;
  }

  /** All tokens that were reported so far: a number that only says whether it changed, and by how much. */
  get tokensTold(): number {
    const counts = this.#counts;
    if (counts === null) return 0;
    const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = counts;
    return (
      (inputTokens ?? 0) + (outputTokens ?? 0) + (cacheReadTokens ?? 0) + (cacheWriteTokens ?? 0)
    );
  }

  /** @returns whether `usage` holds counters */
  report(usage: Usage): boolean {
    const counts = usageCounts(usage);
    if (counts === null) return false;
    const said = usage as Reported;
    this.#counts = replaced(this.#counts, counts);
    this.#details = replacedDetails(this.#details, usageDetails(usage));
    if (Array.isArray(said.iterations)) this.#passes = passesBeside(said.iterations, counts);
    this.tier(said.service_tier ?? said.serviceTier ?? said.trafficType);
    const uses = usesOf(said);
    if (uses !== null) this.#toolUses = uses;
    return true;
  }

  /** OpenAI's `tool_usage`, which stands beside the usage object. */
  toolUsage(usage: object): void {
    const uses: Record<string, number> = {};
    const lines: BillingLine[] = [];
    for (const [name, value] of Object.entries(usage).slice(0, TOOLS_MAX)) {
      const tool: ToolUsage | null = objectOf(value);
      if (tool === null || !NAME.test(name)) continue;
      const requests = count(tool.num_requests) ?? 0;
      if (requests > 0) uses[name] = requests;
      const counts = usageCounts(tool);
      if (counts !== null && isSome(counts))
        lines.push({ model: null, kind: name, counts, details: usageDetails(tool) });
    }
    this.#toolLines = lines;
    this.#toolUses = uses;
  }

  /** Tools whose calls were seen in the answer: counts where the provider gives none. */
  calls(calls: ToolUses): void {
    this.#calls = calls;
  }

  tier(value: unknown): void {
    if (typeof value === 'string' && value !== '' && value.length <= WORD_MAX_CHARS)
      this.#serviceTier = value;
  }

  /** @param model that served the answer: lines that name no model are its own */
  billed(model: string | null): Billed {
    const details = this.#details;
    const serviceTier = this.#serviceTier;
    const toolUses =
      this.#calls === NO_TOOL_USES ? this.#toolUses : { ...this.#calls, ...this.#toolUses };
    if (this.#counts === null || this.#passes.length + this.#toolLines.length === 0)
      return { counts: this.#counts, lines: null, details, serviceTier, toolUses };
    const own: BillingLine = { model, kind: 'message', counts: this.#counts, details };
    const passes = this.#passes.map((line) => ({
      ...line,
      model: line.model ?? model,
      details: inPlace(line.details, details),
    }));
    const lines = grouped([own, ...passes, ...this.#toolLines]);
    const counts = lines.map((line) => line.counts).reduce(summed);
    return { counts, lines, details, serviceTier, toolUses };
  }
}

/** Members of a usage object that are no token counters. */
interface Reported {
  readonly iterations?: unknown;
  readonly service_tier?: unknown;
  readonly serviceTier?: unknown;
  readonly trafficType?: unknown;
  readonly server_tool_use?: unknown;
  readonly server_side_tool_usage_details?: unknown;
  readonly billed_units?: unknown;
  readonly num_sources_used?: unknown;
  readonly num_search_queries?: unknown;
}

interface ToolUsage extends Usage {
  readonly num_requests?: unknown;
}

interface Iteration extends Usage {
  readonly type?: unknown;
  readonly model?: unknown;
}

/** Where an answer was worked out, and how fast, is told once for all of its passes. */
function inPlace(own: UsageDetails | null, answer: UsageDetails | null): UsageDetails | null {
  if (answer === null || (answer.geo === null && answer.speed === null)) return own;
  const { geo, speed } = answer;
  return { ...(own ?? NO_DETAILS), geo, speed };
}

interface Pass {
  readonly kind: string;
  readonly model: string | null;
  readonly counts: UsageCounts;
  readonly details: UsageDetails | null;
}

/**
 * The passes of Anthropic's `usage.iterations` that its root does not hold. Those of type `message` are parts of the root;
 * others stand beside it ("a compaction entry's tokens are not included in the top-level usage fields": the SDK's types,
 * beta messages; recorded so of `compaction` and `advisor_message`), unless the sums say that the root holds them.
 * `fallback_message` stands in place of a `message`, and does unless the root is the sum of the others.
 */
function passesBeside(iterations: readonly unknown[], root: UsageCounts): readonly BillingLine[] {
  const passes = iterations.flatMap(passOf);
  const others = passes.filter(({ kind }) => kind !== 'message');
  if (others.length === 0 || isSum(passes, root)) return [];
  const messages = passes.filter(({ kind }) => kind === 'message');
  const isBeside = ({ kind }: Pass): boolean =>
    kind !== 'fallback_message' || (messages.length > 0 && isSum(messages, root));
  return others.filter(isBeside);
}

function passOf(value: unknown): readonly Pass[] {
  const entry: Iteration | null = objectOf(value);
  const counts = entry === null ? null : usageCounts(entry);
  if (entry === null || counts === null) return [];
  const { type, model } = entry;
  return [
    {
      kind: typeof type === 'string' ? type.slice(0, WORD_MAX_CHARS) : 'message',
      model: typeof model === 'string' && model !== '' ? model.slice(0, MODEL_MAX_CHARS) : null,
      counts,
      details: usageDetails(entry),
    },
  ];
}

function isSum(passes: readonly Pass[], root: UsageCounts): boolean {
  const sum = passes.map(({ counts }) => counts).reduce(summed);
  return sum.inputTokens === root.inputTokens && sum.outputTokens === root.outputTokens;
}

function isSome(counts: UsageCounts): boolean {
  return (counts.inputTokens ?? 0) + (counts.outputTokens ?? 0) > 0;
}

/** One line for each model and kind. */
function grouped(lines: readonly BillingLine[]): readonly BillingLine[] {
  const groups = new Map<string, BillingLine>();
  for (const line of lines) {
    const key = JSON.stringify([line.model, line.kind]);
    const found = groups.get(key);
    const isOther = found === undefined && groups.size >= LINES_MAX - 1;
    const name = isOther ? 'other' : key;
    const group = isOther ? { ...line, model: null, kind: 'other' } : line;
    const before = groups.get(name);
    groups.set(
      name,
      before === undefined
        ? group
        : {
            ...before,
            counts: summed(before.counts, line.counts),
            details: summedDetails(before.details, line.details),
          },
    );
  }
  return [...groups.values()];
}

/**
 * Uses that a usage object counts: Anthropic's and OpenRouter's `server_tool_use`, xAI's `server_side_tool_usage_details`,
 * at its root xAI's `num_sources_used` and Perplexity's `num_search_queries`, in `billed_units` Cohere's `search_units`.
 * Read by name: most usage objects have none of them, and a look at each member would cost as much as all the rest.
 * @returns null when it tells of none
 */
function usesOf(usage: Reported): ToolUses | null {
  const { server_tool_use, server_side_tool_usage_details, billed_units } = usage;
  const sources = count(usage.num_sources_used);
  const searches = count(usage.num_search_queries);
  const parts = server_tool_use ?? server_side_tool_usage_details ?? billed_units;
  if (parts === undefined && sources === null && searches === null) return null;
  const uses: Record<string, number> = {};
  for (const part of [server_tool_use, server_side_tool_usage_details, billed_units]) {
    for (const [name, value] of Object.entries(objectOf(part) ?? {})) {
      const tool = COUNTED.exec(name)?.[1];
      const times = count(value) ?? 0;
      if (tool !== undefined && times > 0 && Object.keys(uses).length < TOOLS_MAX)
        uses[tool] = times;
    }
  }
  if (sources !== null && sources > 0) uses['sources'] = sources;
  if (searches !== null && searches > 0) uses['search'] = searches;
  return uses;
}
