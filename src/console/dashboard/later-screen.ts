import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Address } from './address.ts';
import { asRefused, type Refused } from './admin-api.ts';
import { refusedNote, skeleton } from './elements.ts';
import { type Content, h } from './html.ts';

type Screen = (props: { readonly address: Address }) => Content;

interface LaterScreenProps {
  readonly address: Address;
  readonly load: () => Promise<Screen>;
}

/**
 * A screen whose modules are loaded when it is opened: what few look at each day is no part of what everybody loads.
 */
export function LaterScreen({ address, load }: LaterScreenProps): VNode {
  const [screen, setScreen] = useState<Screen | null>(null);
  const [refused, setRefused] = useState<Refused | null>(null);
  useEffect(() => {
    load().then(
      (loaded) => setScreen(() => loaded),
      (error: unknown) => setRefused(asRefused(error)),
    );
  }, []);
  if (refused !== null) return refusedNote(refused, () => location.reload());
  return screen === null ? skeleton() : h(screen, { address });
}
