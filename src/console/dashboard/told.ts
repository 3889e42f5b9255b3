/** The types of what the admin API tells, made of the shapes that it is checked by; nothing of them is left at run time. */

import type { z } from 'zod';
import type {
  AUDIT_ROW,
  BUDGET,
  CACHE,
  CONFIG,
  ENTRY,
  EXPLAINED,
  GUARDS,
  KEY,
  LIMIT,
  NODE,
  NOW,
  PROMPT_BREAK,
  PROMPT_BREAKS,
  PROMPT_CACHE,
  PROMPT_CACHE_PAGE,
  PROVIDER,
  PROVIDERS_PAGE,
  PURGED,
  REFUSALS,
  REHEARSED,
  REQUEST,
  REQUEST_ROW,
  SESSION,
  SPEND,
  TENANT,
  USAGE,
  USAGE_PAGE,
} from '../shapes.ts';

export type AuditRow = z.infer<typeof AUDIT_ROW>;
export type Budget = z.infer<typeof BUDGET>;
export type Cache = z.infer<typeof CACHE>;
export type Config = z.infer<typeof CONFIG>;
export type Entry = z.infer<typeof ENTRY>;
export type Explained = z.infer<typeof EXPLAINED>;
export type Guards = z.infer<typeof GUARDS>;
export type Key = z.infer<typeof KEY>;
export type Limit = z.infer<typeof LIMIT>;
export type Node = z.infer<typeof NODE>;
export type Now = z.infer<typeof NOW>;
export type PromptBreak = z.infer<typeof PROMPT_BREAK>;
export type PromptBreaks = z.infer<typeof PROMPT_BREAKS>;
export type PromptCache = z.infer<typeof PROMPT_CACHE>;
export type PromptCachePage = z.infer<typeof PROMPT_CACHE_PAGE>;
export type Provider = z.infer<typeof PROVIDER>;
export type Providers = z.infer<typeof PROVIDERS_PAGE>;
export type Purged = z.infer<typeof PURGED>;
export type Refusals = z.infer<typeof REFUSALS>;
export type Rehearsed = z.infer<typeof REHEARSED>;
export type Request = z.infer<typeof REQUEST>;
export type RequestRow = z.infer<typeof REQUEST_ROW>;
export type Session = z.infer<typeof SESSION>;
export type Spend = z.infer<typeof SPEND>;
export type Tenant = z.infer<typeof TENANT>;
export type Usage = z.infer<typeof USAGE>;
export type UsagePage = z.infer<typeof USAGE_PAGE>;
export type Origin = Entry['origin'];

/** A page of rows, and where it goes on. */
export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly next: string | null;
}
