import type { Detector } from '../guard.ts';
import type { LoggedPart, LoggedTexts } from './log-messages.ts';

/**
 * Of a text whose beginning is not there the first so many UTF-16 units are thrown away when they were read: what began
 * before them could end in them, and nobody could tell what it is. More than the detector's longest finding.
 */
export const OVERLAP_UNITS = 4_096;

/**
 * Texts as they may be written: whatever the detector finds is its kind's name. Where something was left out in the middle, what
 * could be a part of a finding on either side of it is left out, too.
 * @param tailBytes what may stand behind the gap, in UTF-8 bytes
 */
export function maskedTexts(
  { parts, gap }: LoggedTexts,
  detector: Detector,
  tailBytes: number,
): readonly LoggedPart[] {
  const masked = parts.map((part, at) =>
    maskedPart(part, detector, at === gap, gap !== null && at === gap - 1),
  );
  if (gap === null) return masked.filter(({ text }) => text !== '');
  const tail: LoggedPart[] = [];
  let room = tailBytes;
  for (let at = masked.length - 1; at >= gap && room > 0; at--) {
    const { kind, text } = masked[at] ?? { kind: 'text', text: '' };
    const kept = suffix(text, room);
    room -= Buffer.byteLength(kept);
    if (kept.length < text.length) room = 0;
    tail.unshift({ kind, text: kept });
  }
  return [...masked.slice(0, gap), ...tail].filter(({ text }) => text !== '');
}

function maskedPart(
  { kind, text }: LoggedPart,
  detector: Detector,
  isCutBefore: boolean,
  isCutBehind: boolean,
): LoggedPart {
  const { findings, settledTo } = detector.scan(text, kind, !isCutBehind);
  let at = isCutBefore ? Math.min(OVERLAP_UNITS, text.length) : 0;
  let masked = '';
  for (const { from, to, what } of findings) {
    // One that goes over the border is left out with what stands before it.
    if (from >= at) masked += `${text.slice(at, from)}[${what.toUpperCase()}]`;
    at = Math.max(at, to);
  }
  return { kind, text: masked + text.slice(at, isCutBehind ? settledTo : text.length) };
}

/** The end of a text, of so many bytes at most, cut between two characters. */
function suffix(text: string, maxBytes: number): string {
  let from = text.length;
  let bytes = 0;
  while (from > 0) {
    const isPair = from > 1 && (text.codePointAt(from - 2) ?? 0) > 0xffff;
    const at = from - (isPair ? 2 : 1);
    bytes += Buffer.byteLength(text.slice(at, from));
    if (bytes > maxBytes) break;
    from = at;
  }
  return text.slice(from);
}
