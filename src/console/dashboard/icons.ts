import type { VNode } from 'preact';
import { html } from './html.ts';

/** Drawn for a field of 16 by 16, in strokes of the text's colour. */
const PATHS = {
  now: 'M1.5 8h3l2-5 3 10 2-5h3',
  spend: 'M3 13V8M8 13V3M13 13V6',
  requests: 'M2 4h12M2 8h12M2 12h8',
  keys: 'M9 8a3.2 3.2 0 1 1-6.4 0a3.2 3.2 0 0 1 6.4 0zM9 8h5v2.4M11.6 8v1.6',
  routes: 'M3 13V9a3 3 0 0 1 3-3h7M10 3l3 3-3 3M3 6V3',
  providers: 'M3 3h10v4H3zM3 9h10v4H3zM5.5 5h.01M5.5 11h.01',
  cache:
    'M2.500 4.500c0-1.4 2.500-2.500 5.500-2.500s5.500 1.100 5.500 2.500-2.500 2.500-5.500 2.500-5.500-1.100-5.500-2.500zM2.500 4.500v7c0 1.400 2.500 2.500 5.500 2.500s5.500-1.100 5.500-2.500v-7M2.500 8c0 1.400 2.500 2.500 5.500 2.500s5.500-1.100 5.500-2.500',
  policies: 'M8 1.500l5 2v4c0 3.5-2.2 5.5-5 7-2.8-1.5-5-3.5-5-7v-4z',
  config: 'M3 4h6M12 4h1M3 8h1M7 8h6M3 12h5M11 12h2M10.5 2.500v3M5.5 6.500v3M9.5 10.500v3',
  menu: 'M2 4h12M2 8h12M2 12h12',
  close: 'M4 4l8 8M12 4l-8 8',
  up: 'M8 13V3M4 7l4-4 4 4',
  down: 'M8 3v10M4 9l4 4 4-4',
  plus: 'M8 3v10M3 8h10',
  theme: 'M8 1.500a6.5 6.5 0 1 0 0 13zM8 1.500a6.5 6.5 0 0 1 0 13',
  lock: 'M4 7.500h8v6H4zM5.5 7.500V5a2.5 2.5 0 0 1 5 0v2.5',
  copy: 'M6 6h7.500v7.500H6zM3.5 10H2.500V2.500H10v1',
  next: 'M6 3l5 5-5 5',
  download: 'M8 2v8M4.5 7L8 10.5 11.5 7M3 13.500h10',
  search: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.6 10.600L14 14',
  leave: 'M6 2.500H3v11h3M7 8h7M11 5l3 3-3 3',
} as const;

export type IconName = keyof typeof PATHS;

export function icon(name: IconName): VNode {
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}
