import type { VNode } from 'preact';
import { useCallback, useEffect, useMemo, useState } from 'preact/hooks';
import { type Address, changed, hrefOf } from './address.ts';
import { asRefused, keepSession, type Refused, read, write } from './admin-api.ts';
import { ConfigScreen } from './config-screen.ts';
import { badge, Choice, refusedNote } from './elements.ts';
import { type Content, h, html } from './html.ts';
import { type IconName, icon } from './icons.ts';
import { KeysScreen } from './keys-screen.ts';
import { LaterScreen } from './later-screen.ts';
import { go, useAddress } from './navigation.ts';
import { NowScreen } from './now-screen.ts';
import { PoliciesScreen } from './policies-screen.ts';
import { ProvidersScreen } from './providers-screen.ts';
import { RequestScreen } from './request-screen.ts';
import { RequestsScreen } from './requests-screen.ts';
import { RoutesScreen } from './routes-screen.ts';
import { type Scene, SceneContext } from './scene.ts';
import { SignIn } from './sign-in.ts';
import { SpendScreen } from './spend-screen.ts';
import { chooseTheme, chosenTheme, THEMES, type Theme } from './theme.ts';
import type { Node, Session } from './told.ts';

interface Screen {
  readonly text: string;
  /** Whether it shows the whole node, which a token of some tenants does not see. */
  readonly isNodeWide: boolean;
  readonly show: (address: Address) => VNode;
}

const SCREENS: Readonly<Record<string, Screen>> = {
  now: { text: 'Now', isNodeWide: true, show: () => h(NowScreen, {}) },
  spend: { text: 'Spend', isNodeWide: false, show: (address) => h(SpendScreen, { address }) },
  requests: {
    text: 'Requests',
    isNodeWide: false,
    show: (address) => {
      const id = address.path[1];
      if (id !== undefined) return h(RequestScreen, { key: id, id });
      return h(RequestsScreen, { key: address.query['q'] ?? '', address });
    },
  },
  keys: {
    text: 'Keys and budgets',
    isNodeWide: false,
    show: (address) => h(KeysScreen, { key: address.query['q'] ?? '', address }),
  },
  routes: { text: 'Routes', isNodeWide: true, show: (address) => h(RoutesScreen, { address }) },
  providers: { text: 'Providers', isNodeWide: true, show: () => h(ProvidersScreen, {}) },
  cache: {
    text: 'Cache and guards',
    isNodeWide: false,
    show: (address) =>
      h(LaterScreen, {
        address,
        load: async () => (await import('./cache-screen.ts')).CacheScreen,
      }),
  },
  policies: {
    text: 'Policies and limits',
    isNodeWide: false,
    show: (address) => h(PoliciesScreen, { key: address.query['q'] ?? '', address }),
  },
  config: {
    text: 'Configuration',
    isNodeWide: true,
    show: (address) => h(ConfigScreen, { address }),
  },
};

/** Names that browsers know by older ones. */
const RENAMED: Readonly<Record<string, string>> = {
  'Asia/Calcutta': 'Asia/Kolkata',
  'Asia/Katmandu': 'Asia/Kathmandu',
  'Asia/Rangoon': 'Asia/Yangon',
  'Asia/Saigon': 'Asia/Ho_Chi_Minh',
  'Europe/Kiev': 'Europe/Kyiv',
};

function zones(): readonly string[] {
  const known = Intl.supportedValuesOf('timeZone').map((zone) => RENAMED[zone] ?? zone);
  return ['UTC', ...known.filter((zone) => zone !== 'UTC').sort()];
}

/** @returns `fallback` for what no browser knows */
function knownZone(name: string | undefined, fallback: string): string {
  if (name === undefined) return fallback;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return name;
  } catch {
    return fallback;
  }
}

interface SidebarProps {
  readonly address: Address;
  readonly here: string;
  readonly scene: Scene;
  readonly onSignOut: () => void;
}

function Sidebar({ address, here, scene, onSignOut }: SidebarProps): VNode {
  const [isOpen, setOpen] = useState(false);
  const [theme, setTheme] = useState<Theme>(chosenTheme());
  const { session, node, zone } = scene;
  useEffect(() => setOpen(false), [here]);
  const all = useMemo(zones, []);
  const zoneSaid = address.query['zone'];
  const link = ([name, { text, isNodeWide }]: readonly [string, Screen]): VNode => {
    const isHidden = isNodeWide && session.tenants !== null;
    if (isHidden) {
      return html`<span class="nav-item off" title="Your token is for some tenants; this shows the whole node.">${icon(name as IconName)}${text}<span class="visually-hidden"> (not for a token of some tenants)</span></span>`;
    }
    return html`<a
      class="nav-item"
      href=${hrefOf([name], { zone: zoneSaid })}
      aria-current=${name === here ? 'page' : undefined}
      onClick=${() => setOpen(false)}
      >${icon(name as IconName)}${text}</a
    >`;
  };
  return html`<aside class=${isOpen ? 'open' : ''} onKeyDown=${(event: KeyboardEvent) => {
    if (event.key === 'Escape') setOpen(false);
  }}>
    <div class="brand">
      <a href=${hrefOf(['now'])} class="row"><img src="/ui/icon.svg" alt="" width="24" height="24" /><b>Sluice</b></a>
      ${node.demo && badge('warn', 'demo')}
      <button type="button" class="plain menu" aria-expanded=${isOpen ? 'true' : 'false'} aria-controls="menu" onClick=${() => setOpen(!isOpen)}>
        ${icon(isOpen ? 'close' : 'menu')}<span class="visually-hidden">Menu</span>
      </button>
    </div>
    <div id="menu" class="menu-body">
      <nav aria-label="Screens">${Object.entries(SCREENS).map(link)}</nav>
      <div class="side-foot">
        ${h(Choice, {
          label: 'Time zone',
          value: zone,
          options: all.includes(zone) ? all : [zone, ...all],
          onChange: (name) => go(changed(address, { zone: name === node.zone ? undefined : name })),
        })}
        ${h(Choice, {
          label: 'Colours',
          value: theme,
          options: THEMES,
          onChange: (name) => {
            chooseTheme(name as Theme);
            setTheme(name as Theme);
          },
        })}
        <div class="who">
          <span class="two"><b>${session.name}</b><span class="muted">${session.role}${
            session.tenants === null ? '' : `, tenants ${session.tenants.join(', ')}`
          }</span></span>
          <button type="button" class="plain small" onClick=${onSignOut} title="Sign out">${icon('leave')}<span class="visually-hidden">Sign out</span></button>
        </div>
        <p class="version muted">${node.name}, ${node.version}</p>
      </div>
    </div>
  </aside>`;
}

interface Signed {
  readonly session: Session;
  readonly node: Node;
}

interface SceneProps extends Signed {
  readonly onSignOut: () => void;
}

function SignedIn({ session, node, onSignOut }: SceneProps): VNode {
  const address = useAddress();
  const [said, setSaid] = useState('');
  const zone = knownZone(address.query['zone'], node.zone);
  const say = useCallback((text: string) => setSaid(text), []);
  useEffect(() => {
    if (said === '') return;
    const timer = setTimeout(() => setSaid(''), 6_000);
    return () => clearTimeout(timer);
  }, [said]);
  const scene = useMemo(() => ({ session, node, zone, say }), [session, node, zone, say]);
  const first = session.tenants === null ? 'now' : 'spend';
  const here = address.path[0] ?? first;
  const screen = SCREENS[here];
  useEffect(() => {
    document.title = `${screen?.text ?? 'Not found'} · Sluice`;
  }, [screen]);
  useEffect(() => scrollTo(0, 0), [address.path.join('/')]);
  const shown: Content =
    screen === undefined
      ? html`<h1>There is no such screen.</h1><p><a href=${hrefOf([first])}>To the first one</a></p>`
      : screen.show(address);
  return h(
    SceneContext.Provider,
    { value: scene },
    html`<a class="skip" href="#main" onClick=${(event: Event) => {
      event.preventDefault();
      document.getElementById('main')?.focus();
    }}>To the content</a>
      <div class="shell">
        ${h(Sidebar, { address, here, scene, onSignOut })}
        <main id="main" tabindex="-1">${
          node.demo &&
          html`<p class="note">What you see was made up by <code>npm run demo</code>.</p>`
        }${shown}</main>
      </div>
      <div class="toast" role="status" aria-live="polite">${said !== '' && html`<p>${said}</p>`}</div>`,
  );
}

type State =
  | { readonly kind: 'asking' }
  | { readonly kind: 'signed-out' }
  | { readonly kind: 'signed-in'; readonly signed: Signed }
  | { readonly kind: 'refused'; readonly refused: Refused };

/** Who looks, and with it what is shown: the sign-in, or the screens. */
export function Dashboard(): VNode {
  const [state, setState] = useState<State>({ kind: 'asking' });
  const ask = useCallback(async (): Promise<void> => {
    try {
      keepSession(null, () => {});
      const { value: session } = await read<Session>('/session');
      const { value: node } = await read<Node>('/node');
      keepSession(session.csrf, () => setState({ kind: 'signed-out' }));
      setState({ kind: 'signed-in', signed: { session, node } });
    } catch (error) {
      const refused = asRefused(error);
      setState(refused.status === 401 ? { kind: 'signed-out' } : { kind: 'refused', refused });
    }
  }, []);
  useEffect(() => {
    void ask();
  }, []);
  const signOut = async (): Promise<void> => {
    await write('DELETE', '/session', undefined).catch(() => {});
    setState({ kind: 'signed-out' });
  };
  switch (state.kind) {
    case 'asking':
      // As the page has it from the beginning, before any of this is there.
      return html`<div class="booting" role="status" aria-label="Loading"><img src="/ui/icon.svg" alt="" width="40" height="40" /><b>Sluice</b></div>`;
    case 'signed-out':
      return h(SignIn, { onSignedIn: () => void ask() });
    case 'refused':
      return html`<main class="sign-in">${refusedNote(state.refused, () => void ask())}</main>`;
    default:
      return h(SignedIn, { ...state.signed, onSignOut: () => void signOut() });
  }
}
