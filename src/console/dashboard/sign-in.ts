import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { asRefused, type Refused, write } from './admin-api.ts';
import { Field, refusedNote } from './elements.ts';
import { h, html } from './html.ts';

interface SignInProps {
  readonly onSignedIn: () => void;
}

/** How somebody can sign in here. */
interface Ways {
  readonly token: boolean;
  /** Where a sign-in by the organisation's own begins; null: there is none. */
  readonly oidc: string | null;
}

async function waysIn(): Promise<Ways> {
  const response = await fetch('/ui/sign-in.json');
  return (await response.json()) as Ways;
}

/** The token goes to the gateway once, which gives a session for it; the page keeps neither. */
export function SignIn({ onSignedIn }: SignInProps): VNode {
  const [ways, setWays] = useState<Ways>({ token: true, oidc: null });
  const [token, setToken] = useState('');
  const [refused, setRefused] = useState<Refused | null>(null);
  const [isBusy, setBusy] = useState(false);
  useEffect(() => {
    waysIn().then(setWays, () => {});
  }, []);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setRefused(null);
    try {
      await write('POST', '/session', { token: token.trim() });
      onSignedIn();
    } catch (error) {
      setRefused(asRefused(error));
      setBusy(false);
    }
  };
  return html`<main class="sign-in">
    <form onSubmit=${submit}>
      <img src="/ui/icon.svg" alt="" width="40" height="40" />
      <h1>Sluice</h1>
      <p class="says">Sign in to see what goes through this gateway.</p>
      ${
        ways.oidc !== null &&
        html`<a class="button primary wide" href=${ways.oidc}>Sign in with your organisation</a>
        <p class="or">or</p>`
      }
      ${h(Field, {
        label: 'Admin token',
        type: 'password',
        value: token,
        onInput: setToken,
        isRequired: true,
        placeholder: 'sat_…',
        hint: html`<code>sluice admin-token NAME --role owner</code> makes one.`,
      })}
      ${
        refused !== null &&
        (refused.status === 401
          ? html`<p class="note bad" role="alert">This token is not one of this gateway, or is one no more.</p>`
          : refusedNote(refused))
      }
      <button type="submit" class="primary wide" disabled=${isBusy}>${isBusy ? 'Signing in…' : 'Sign in'}</button>
    </form>
  </main>`;
}
