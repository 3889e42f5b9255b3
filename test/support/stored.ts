import { PoolKeys } from '../../src/providers/pool-keys.ts';
import type { Provider } from '../../src/providers/providers.ts';
import { StateHomes } from '../../src/stored/state-homes.ts';
import { createStateTable, SECRET_BYTES, StoredState } from '../../src/stored/state-table.ts';

/** Nothing is remembered as stored. */
export function nothingStored(
  providers: readonly Provider[],
  poolKeys = new PoolKeys(providers, new Map(), 0),
): StateHomes {
  const table = new StoredState(createStateTable(new Uint8Array(SECRET_BYTES)));
  return new StateHomes(table, providers, poolKeys, false, null);
}
