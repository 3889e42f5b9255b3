import type { Buffer } from 'node:buffer';
import { NamedTexts, type TextSink } from '../wire/named-texts.ts';
import { REQUEST_STATE, TOOL_TYPE } from '../wire/state-places.ts';

/** Whether a whole body names what its provider has stored, or holds what only one account can open. */
export function namesState(body: Buffer): boolean {
  const names = new StoredNames();
  new NamedTexts(REQUEST_STATE, names).push(body);
  return names.isOne;
}

class StoredNames implements TextSink {
  isOne = false;

  onText(place: string, text: string | null): void {
    if (place !== TOOL_TYPE && text !== '') this.isOne = true;
  }
}
