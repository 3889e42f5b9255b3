import type { PoolKey, PoolKeys } from '../providers/pool-keys.ts';
import type { Provider } from '../providers/providers.ts';
import type { FleetQuestions } from './fleet-questions.ts';
import type { StoredState, TenantWords } from './state-table.ts';

/** Where something is stored: the account behind one pool key of a provider. */
export interface Home {
  readonly provider: Provider;
  readonly key: PoolKey;
}

interface ProviderKeys {
  readonly provider: Provider;
  readonly keys: readonly PoolKey[];
}

/** Stored state in the words of one configuration: its providers and pool keys. */
export class StateHomes {
  readonly #state: StoredState;
  /** By what the table calls a provider. */
  readonly #providers = new Map<number, ProviderKeys>();
  readonly #allowsUnknown: boolean;
  /** Who may know more than this node; null: it is alone. */
  readonly fleet: FleetQuestions | null;

  /** @param allowsUnknown ids that nobody is known to have made go through: for a gateway with one tenant */
  constructor(
    state: StoredState,
    providers: readonly Provider[],
    poolKeys: PoolKeys,
    allowsUnknown: boolean,
    fleet: FleetQuestions | null,
  ) {
    this.#state = state;
    this.fleet = fleet;
    this.#allowsUnknown = allowsUnknown;
    for (const provider of providers)
      this.#providers.set(state.providerPrint(provider.name), {
        provider,
        keys: poolKeys.of(provider),
      });
  }

  /** An answer of this home to this tenant brought an id. */
  remember(id: string, tenant: TenantWords, { provider, key }: Home): void {
    const print = this.#state.providerPrint(provider.name);
    this.#state.remember(id, tenant, { provider: print, key: key.print });
  }

  /** Whether an id that this tenant is not known to have made may be asked for all the same. */
  allows(id: string, tenant: TenantWords): boolean {
    return this.#allowsUnknown && !this.#state.isStrangers(id, tenant);
  }

  /**
   * Where this tenant has stored `id`: nowhere, at one home, or at several where two providers issue the same one. A key that
   * is not configured any more has been replaced by the provider's first: when that is another account, it will say itself
   * that it knows no such id.
   */
  find(id: string, tenant: TenantWords): readonly Home[] {
    return this.#state.find(id, tenant).flatMap((account): readonly Home[] => {
      const known = this.#providers.get(account.provider);
      const key = known?.keys.find(({ print }) => print === account.key) ?? known?.keys[0];
      return known === undefined || key === undefined ? [] : [{ provider: known.provider, key }];
    });
  }
}
