import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { Node, Session } from './told.ts';

/** What every screen knows of who looks and what at. */
export interface Scene {
  readonly session: Session;
  readonly node: Node;
  /** IANA name: in it days begin and times are written. */
  readonly zone: string;
  /** Sends one sentence to the corner of the page, and to screen readers. */
  readonly say: (text: string) => void;
}

export const SceneContext = createContext<Scene | null>(null);

export function useScene(): Scene {
  const scene = useContext(SceneContext);
  if (scene === null) throw new Error('a screen stands outside of the scene');
  return scene;
}

/** Whether there may be other gateways than this one: they share a bucket, or a data base. */
export function isOfFleet({ fleet, ledger }: Node): boolean {
  return fleet || ledger === 'postgres' || ledger === 'clickhouse';
}

/** Whose numbers the past on this screen is made of, as a sentence. */
export function whoseNumbers({ ledger, name, fleet }: Node): string {
  const base = { postgres: 'Postgres', clickhouse: 'ClickHouse', node: null }[ledger ?? 'node'];
  if (base !== null) return `All gateways of the fleet together, as their ${base} has it.`;
  return fleet
    ? `What this node, ${name}, has served alone: the others of its fleet have their own.`
    : `What this node, ${name}, has served.`;
}

const RANK = { viewer: 0, operator: 1, owner: 2 } as const;
export type Role = keyof typeof RANK;

/** @returns null where this role may; else the sentence that says why not */
export function whyNot({ session }: Scene, role: Role): string | null {
  if (RANK[session.role] >= RANK[role]) return null;
  const who = role === 'owner' ? 'an owner' : 'an operator or an owner';
  return `You are signed in as ${session.role}; this takes ${who}.`;
}
