/**
 * Thoughts in `encrypted_content` of a reasoning item: the one member that every client of this API sends back unread. The
 * seal stands there with the text that it proves, since a summary may come back cut or not at all.
 */

import { Buffer } from 'node:buffer';
import type { Maker, RedactedPart, ThoughtPart } from '../conversation.ts';
import { parsedObject, textIn } from '../json-values.ts';
import { sealOf, sealText } from '../seals.ts';

/** @param text null: its maker shows nothing of it */
export function sealedContent(maker: Maker, text: string | null, data: string): string {
  if (maker === 'openai') return data;
  const block = text === null ? { redacted: data } : { thinking: text, signature: data };
  return sealText('openai', {
    maker,
    data: Buffer.from(JSON.stringify(block)).toString('base64url'),
  });
}

/**
 * @param content `encrypted_content`; '' where there is none
 * @param summary what the item shows of it
 * @returns null where nothing is left of it
 */
export function thoughtOf(content: string, summary: string): ThoughtPart | RedactedPart | null {
  const seal = sealOf('openai', content);
  if (seal === null) return summary === '' ? null : { kind: 'thought', text: summary, seal };
  const { maker } = seal;
  if (maker === 'openai') return { kind: 'thought', text: summary, seal };
  const block = parsedObject(Buffer.from(seal.data, 'base64url').toString()) ?? {};
  const redacted = textIn(block, 'redacted');
  if (redacted !== null) return { kind: 'redacted', seal: { maker, data: redacted } };
  const data = textIn(block, 'signature');
  if (data === null) return null;
  return { kind: 'thought', text: textIn(block, 'thinking') ?? '', seal: { maker, data } };
}
