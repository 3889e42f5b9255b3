import { useEffect, useState } from 'preact/hooks';
import { type Address, addressOf } from './address.ts';

/** @param isReplacing what is left needs no way back to it */
export function go(href: string, isReplacing = false): void {
  if (isReplacing) {
    history.replaceState(null, '', href);
    dispatchEvent(new HashChangeEvent('hashchange'));
  } else location.hash = href;
}

export function useAddress(): Address {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changedHash = () => setHash(location.hash);
    addEventListener('hashchange', changedHash);
    return () => removeEventListener('hashchange', changedHash);
  }, []);
  return addressOf(hash);
}
