/** What explaining for a key adds: its policy, how its budgets stand, and whether each target has room in them. */

import type { Candidate } from '../budget/alternatives.ts';
import { BudgetCalendar, labelOf, labelText, windowOf } from '../budget/budget-calendar.ts';
import { nanoUsd } from '../budget/budget-refusals.ts';
import type { BudgetScope } from '../budget/budget-settings.ts';
import { BudgetTable, createBudgetTable, NO_ROW, rowName } from '../budget/budget-table.ts';
import { DefaultRates } from '../budget/default-rate.ts';
import { OutputSizes } from '../budget/output-sizes.ts';
import { type KeySpending, type SpendingQuestion, WAITS } from '../budget/spending.ts';
import type { Config } from '../config/config-document.ts';
import { KEY_CLASSES, type KeyClass } from '../keys/key-class.ts';
import { idWords, type KeyIdentity } from '../keys/virtual-key.ts';
import type { PriceDoor } from '../plan/price-door.ts';
import type { Target } from '../plan/route-table.ts';
import { createLimitTable, LimitTable } from '../policy/limit-table.ts';
import { Limiter } from '../policy/limiter.ts';
import { type EffectivePolicy, PolicyTable } from '../policy/policy-table.ts';
import type { PriceBook } from '../prices/price-book.ts';
import { REJECTIONS } from '../rejection.ts';
import { askedSpending } from '../wire/asked-spending.ts';
import type { JsonScanner } from '../wire/json-scanner.ts';
import { RequestScan } from '../wire/request-scan.ts';

/** Whose request is explained; ids are decimal. */
export interface Holder {
  readonly key: string;
  readonly tenant: string;
  readonly keyClass: KeyClass;
}

/** How a budget's window stands; amounts in nano-dollars. */
export interface BudgetRowNow {
  readonly scope: BudgetScope;
  /** As the journal names it: `1/7` of a key, `1` of a tenant. */
  readonly name: string;
  /** `2026-11-28`, `2026-11`. */
  readonly label: string;
  readonly limit: number;
  readonly spent: number;
  /** Held by requests that are under way. */
  readonly reserved: number;
  readonly told: number;
}

/** How budgets stand. */
export interface KnownBudgets {
  of(holder: Holder): readonly BudgetRowNow[];
  /** Where that is from, behind what is left. */
  readonly says: string;
}

const ID = /^(?:0|[1-9][0-9]{0,19})$/;

/**
 * @param tenant as it was given; null: as `[keys.ID]` says
 * @throws Error with one line that says what to do
 */
export function holderOf(
  { policy: { keys } }: Pick<Config, 'policy'>,
  key: string,
  tenant: string | null,
  keyClass: string,
): Holder {
  const owner = tenant ?? keys.get(key)?.tenant ?? null;
  if (!ID.test(key))
    throw new Error(`--key is "${key}"; expected the id of a key, as it was minted`);
  if (owner === null || !ID.test(owner))
    throw new Error(
      `Whose key ${key} is cannot be told: add --tenant ID, or a tenant in [keys.${key}].`,
    );
  const minted = KEY_CLASSES.find((name) => name === keyClass);
  if (minted === undefined)
    throw new Error(`--class is "${keyClass}"; expected ${KEY_CLASSES.join(', ')}`);
  return { key, tenant: owner, keyClass: minted };
}

/** A key as a worker of a gateway sees it that begins now. */
export class ExplainedKey {
  readonly policy: EffectivePolicy;
  readonly #holder: Holder;
  readonly #from: string;

  /** @throws Error when it cannot be told how its budgets stand */
  constructor(
    config: Config,
    book: PriceBook,
    models: Pick<PriceDoor, 'traits'>,
    canonical: (name: string) => string,
    candidates: readonly Candidate[],
    holder: Holder,
    known: KnownBudgets,
  ) {
    const { budgets } = config;
    // A table of its own: what is tried in it is nobody's.
    const table = new BudgetTable(createBudgetTable(1, true), 0);
    for (const { scope, name, label, limit, spent, reserved, told } of known.of(holder)) {
      const own = labelOf(label);
      const row = rowName(`${scope} ${name} ${windowOf(own)}`);
      table.restore(row, own, limit, spent, told);
      if (reserved > 0)
        table.reserve([{ name: row, row: NO_ROW, label: own, limit, enforced: false }], reserved);
    }
    this.#from = known.says;
    this.#holder = holder;
    const counts = {
      limitReached() {},
      limitRowDropped() {},
      classShed() {},
      budgetReached() {},
      budgetRowDropped() {},
    };
    const limits = new LimitTable(createLimitTable(1), 0);
    const policies = new PolicyTable(
      config.policy,
      canonical,
      new Limiter(limits, config.policy.limits, counts),
      {
        table,
        calendar: new BudgetCalendar(budgets.timeZone),
        book,
        models,
        defaults: new DefaultRates(book),
        sizes: new OutputSizes(),
        counts,
        met() {},
        status: budgets.status,
        assumedOutputTokens: budgets.assumedOutputTokens,
        candidates,
        now: Date.now,
      },
    );
    this.policy = policies.of(identityOf(holder));
  }

  /**
   * @param body of the request; null: what it would cost is not told
   * @param targets that may be tried
   */
  lines(scanner: JsonScanner, body: Buffer | null, targets: readonly Target[]): readonly string[] {
    const { spending, name, keyClass, onExceeded } = this.policy;
    const { key, tenant } = this.#holder;
    const title = `key ${key} of tenant ${tenant}, class ${keyClass}, policy ${name ?? 'none'}`;
    if (spending === null) return [title, 'no budget limits it'];
    const views = spending.views().map(({ scope, window, label, limit, spent, enforced }) => {
      const left = nanoUsd(limit - spent);
      const counted = enforced ? '' : ', counted only';
      return `budget of the ${scope}, ${labelText(label)}: $${nanoUsd(spent)} of $${nanoUsd(limit)} a ${window} spent, $${left} left (${this.#from})${counted}`;
    });
    const most = spending.maxCostNano;
    return [
      title,
      ...views,
      ...(most > 0 ? [`a request may cost $${nanoUsd(most)}`] : []),
      ...(body === null ? [] : fits(spending, scanner, body, targets)),
      ...(onExceeded === null ? [] : [`what has no room goes to ${onExceeded}`]),
    ];
  }
}

/** Each target asked by itself, as if the one before it had cost nothing. */
function fits(
  spending: KeySpending,
  scanner: JsonScanner,
  body: Buffer,
  targets: readonly Target[],
): readonly string[] {
  const scan = RequestScan.open(scanner, false, true, true);
  scan.read(body, { push: () => true });
  const { facts, furtherModels } = scan;
  const fields = facts?.spending ?? null;
  const asked =
    facts === null || fields === null ? null : askedSpending(facts.textBytes, fields, body.length);
  scan.release();
  return targets.map(({ name, provider, model }) => {
    const question: SpendingQuestion = {
      provider: provider.name,
      model: furtherModels?.isUnsure === true ? null : model,
      further: furtherModels?.names ?? [],
      asked,
      requestBytes: body.length,
      writes: true,
      chain: null,
      mayMove: true,
      isUncapped: false,
    };
    const came = spending.reserve(question, false);
    if (came === WAITS) return `${name}: waits for its grant`;
    if ('code' in came)
      return `${name}: ${REJECTIONS[came.code].status} ${came.code}. ${came.detail}`;
    came.settle(0);
    return `${name}: $${nanoUsd(came.reserved)} would be reserved, which there is`;
  });
}

function identityOf({ key, tenant, keyClass }: Holder): KeyIdentity {
  const [keyId, tenantId] = [BigInt(key), BigInt(tenant)];
  return {
    kid: 0,
    tenantId,
    vpcId: 0n,
    keyId,
    keyClass,
    tenantText: tenant,
    vpcText: '0',
    keyText: key,
    tenantWords: idWords(tenantId),
    keyWords: idWords(keyId),
  };
}
