import type { DenyLookup, DenyReason } from '../deny/deny-table.ts';
import type { KeyIdentity } from '../keys/virtual-key.ts';

/** Tenant and key may both be cut off: whatever is not a matter of budget is told first. */
export function deniedReason(
  { tenantWords, keyWords }: KeyIdentity,
  deny: DenyLookup,
): DenyReason | null {
  const tenant = deny.find('tenant', tenantWords.low, tenantWords.high);
  if (keyWords === null || tenant === 'other') return tenant;
  const key = deny.find('key', keyWords.low, keyWords.high);
  return key === null || (key === 'spend' && tenant !== null) ? tenant : key;
}
