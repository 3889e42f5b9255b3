import { describe, expect, it } from 'vitest';
import { DoubtfulUpload } from '../../../src/exchange/doubtful-upload.ts';
import { idWords } from '../../../src/keys/virtual-key.ts';
import { PoolKeys } from '../../../src/providers/pool-keys.ts';
import { providerTable } from '../../../src/providers/providers.ts';
import { Secret } from '../../../src/secret.ts';
import { FleetQuestions } from '../../../src/stored/fleet-questions.ts';
import { StateClaim } from '../../../src/stored/state-claim.ts';
import { StateHomes } from '../../../src/stored/state-homes.ts';
import { createStateTable, SECRET_BYTES, StoredState } from '../../../src/stored/state-table.ts';

const providers = providerTable([]);
const OWN = idWords(42n);

/** A body, piece by piece, as a lane takes it; what happens is written down in its order. */
function upload() {
  const poolKeys = new PoolKeys(providers, new Map([['openai', [new Secret('sk-a')]]]), 0);
  const table = new StoredState(createStateTable(new Uint8Array(SECRET_BYTES)));
  const fleet = new FleetQuestions(
    () => {},
    (error) => {
      throw error;
    },
  );
  const homes = new StateHomes(table, providers, poolKeys, false, fleet);
  const claim = new StateClaim(homes, OWN, null);
  const said: string[] = [];
  const answer = {
    uploadFull: () => said.push('full'),
    uploadDrained: () => said.push('drained'),
    onBroken: () => said.push('broken'),
  };
  const held = new DoubtfulUpload(claim, answer, {
    goOn: (piece, last) => said.push(`${piece.toString()}${last ? '.' : ''}`),
  });
  const learn = (id: string): void => {
    const [provider] = providers.filter(({ name }) => name === 'openai');
    const [key] = provider === undefined ? [] : poolKeys.of(provider);
    if (provider === undefined || key === undefined) throw new Error('no key');
    homes.remember(id, OWN, { provider, key });
  };
  return { claim, fleet, held, learn, said };
}

const FIRST = '{"previous_response_id":"resp_1"';
const SECOND = ',"conversation":"conv_1"}';

describe('a body that names what this node has not heard of', () => {
  it('goes on in its order when the fleet has told it, with what comes behind read as ever', () => {
    const { claim, fleet, held, learn, said } = upload();
    claim.push(Buffer.from(FIRST));
    expect([claim.isInDoubt, claim.fault]).toEqual([true, null]);
    expect(held.asks(Buffer.from(FIRST), false)).toBe(true);
    held.hold(Buffer.from(SECOND), true);
    expect(said).toEqual(['full']);
    learn('resp_1');
    learn('conv_1');
    fleet.answer(true);
    expect(said).toEqual(['full', 'drained', FIRST, `${SECOND}.`]);
    expect([claim.isInDoubt, claim.fault, claim.homes?.length]).toEqual([false, null, 1]);
    expect(held.isHolding).toBe(false);
  });

  it('is 404 when nobody has made it; what it names later is not asked for again', () => {
    const { claim, fleet, held } = upload();
    claim.push(Buffer.from(FIRST));
    held.asks(Buffer.from(FIRST), false);
    fleet.answer(false);
    expect([claim.isInDoubt, claim.fault?.code]).toEqual([false, 'state_not_found']);
    const later = upload();
    later.claim.push(Buffer.from(FIRST));
    later.held.asks(Buffer.from(FIRST), false);
    later.learn('resp_1');
    later.fleet.answer(true);
    expect(later.claim.fault).toBeNull();
    later.claim.push(Buffer.from(SECOND));
    expect([later.claim.isInDoubt, later.claim.fault?.code]).toEqual([false, 'state_not_found']);
  });

  it('goes nowhere when its request is over', () => {
    const { claim, fleet, held, said } = upload();
    claim.push(Buffer.from(FIRST));
    held.asks(Buffer.from(FIRST), true);
    held.drop();
    fleet.answer(false);
    expect(said).toEqual(['full']);
  });
});
