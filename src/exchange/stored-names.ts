import type { Buffer } from 'node:buffer';
import { NamedTexts, type TextSink } from '../wire/named-texts.ts';
import { ITEM_TYPE, REQUEST_ELSEWHERE, TOOL_TYPE } from '../wire/state-places.ts';

/** Whether a whole body leads to what is kept elsewhere, or holds what only one account can open. */
export function leadsElsewhere(body: Buffer): boolean {
  const names = new StoredNames();
  new NamedTexts(REQUEST_ELSEWHERE, names).push(body);
  return names.isOne;
}

class StoredNames implements TextSink {
  isOne = false;

  onText(place: string, text: string | null): void {
    if (place === ITEM_TYPE) this.isOne ||= text === 'item_reference';
    else if (place !== TOOL_TYPE && text !== '') this.isOne = true;
  }
}
