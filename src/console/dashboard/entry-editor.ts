import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { useAsked, write } from './admin-api.ts';
import { Choice, Dialog, Field, refusedNote, skeleton, WriteDialog } from './elements.ts';
import type { Member } from './entry-members.ts';
import { h, html } from './html.ts';
import { originNote } from './origin.ts';
import { useScene } from './scene.ts';
import { instantText } from './time-range.ts';
import type { Entry, Tenant } from './told.ts';

interface RemoveDialogProps {
  readonly path: string;
  readonly what: string;
  readonly etag: string | null;
  readonly onDone: () => void;
  readonly onClose: () => void;
}

/** Takes back what was written at run time; the file's is left as it is. */
export function RemoveDialog({ path, what, etag, onDone, onClose }: RemoveDialogProps): VNode {
  const { say } = useScene();
  return h(WriteDialog, {
    title: `Take back ${what}`,
    says: 'What was written at run time is taken back; what the file says of it, if anything, holds again.',
    doing: 'Take back',
    isDangerous: true,
    onClose,
    run: async (reason) => {
      await write('DELETE', path, { reason }, etag);
      say(`What was written of ${what} is taken back.`);
      onDone();
    },
  });
}

type Texts = Readonly<Record<string, string>>;

function textOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (Array.isArray(value) && value.every((one) => typeof one === 'string'))
    return value.join(', ');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** @returns undefined for what is not written down */
function memberOf(text: string, { kind }: Member): unknown {
  if (text.trim() === '') return undefined;
  if (kind === 'number') return Number(text);
  if (kind === 'flag') return text === 'true';
  if (kind === 'list')
    return text
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '');
  return text.trim();
}

function memberField(member: Member, text: string, onInput: (text: string) => void): VNode {
  const { label, kind, hint } = member;
  const hinted = hint === undefined ? {} : { hint };
  if (kind === 'flag' || Array.isArray(kind)) {
    const choices = kind === 'flag' ? ['true', 'false'] : (kind as readonly string[]);
    const options = { '': 'not said', ...Object.fromEntries(choices.map((one) => [one, one])) };
    return h(Choice, {
      key: member.name,
      label,
      value: text,
      options,
      onChange: onInput,
      ...hinted,
    });
  }
  const type = kind === 'number' ? 'number' : 'text';
  return h(Field, {
    key: member.name,
    label,
    value: text,
    onInput,
    type,
    placeholder: 'not said',
    ...hinted,
  });
}

interface EntryDialogProps {
  /** `/policies`. */
  readonly collection: string;
  /** `policy`. */
  readonly kind: string;
  /** Null: a new one. */
  readonly name: string | null;
  readonly nameHint: string;
  readonly members: readonly Member[];
  readonly onDone: () => void;
  readonly onClose: () => void;
}

interface FormProps extends EntryDialogProps {
  readonly entry: Entry | null;
  readonly etag: string | null;
}

function EntryForm(props: FormProps): VNode {
  const { collection, kind, members, entry, etag } = props;
  const { zone, say } = useScene();
  const known = new Set(members.map(({ name }) => name));
  const before = entry?.value ?? {};
  const rest = Object.fromEntries(Object.entries(before).filter(([name]) => !known.has(name)));
  const [name, setName] = useState(props.name ?? '');
  const [texts, setTexts] = useState<Texts>(
    Object.fromEntries(members.map((member) => [member.name, textOf(before[member.name])])),
  );
  const [others, setOthers] = useState(
    Object.keys(rest).length === 0 ? '' : JSON.stringify(rest, null, 2),
  );
  const [expires, setExpires] = useState('');
  return h(
    WriteDialog,
    {
      title: entry === null ? `New ${kind}` : `Change ${kind} ${entry.name}`,
      doing: 'Save',
      onClose: props.onClose,
      run: async (reason) => {
        const value: Record<string, unknown> = others.trim() === '' ? {} : parsed(others);
        for (const member of members) {
          const said = memberOf(texts[member.name] ?? '', member);
          if (said !== undefined) value[member.name] = said;
        }
        const until = expires === '' ? null : instantText(expires, zone);
        const wish = { value, reason, ...(until === null ? {} : { expires: until }) };
        await write('PUT', `${collection}/${encodeURIComponent(name)}`, wish, etag);
        say(`The ${kind} ${name} is saved.`);
        props.onDone();
      },
    },
    html`
      ${entry !== null && html`<p>${originNote(entry.origin, zone)}</p>`}
      ${entry === null && h(Field, { label: 'Name', value: name, onInput: setName, isRequired: true, hint: props.nameHint })}
      <div class="grid-fields">${members.map((member) =>
        memberField(member, texts[member.name] ?? '', (text) =>
          setTexts({ ...texts, [member.name]: text }),
        ),
      )}</div>
      ${h(Field, { label: 'Other members, as JSON', value: others, onInput: setOthers, rows: others === '' ? 2 : 5, placeholder: '{ }' })}
      ${h(Field, { label: 'Holds until', type: 'datetime-local', value: expires, onInput: setExpires, hint: `In ${zone}. Empty: until somebody changes it.` })}
    `,
  );
}

function parsed(text: string): Record<string, unknown> {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Error('The other members must be a JSON object.');
  }
  return value as Record<string, unknown>;
}

/** A tenant is told with what else is known of it; what can be edited are these two. */
function asEntry(told: Entry | Tenant): Entry {
  if ('value' in told) return told;
  const { id, name, policy, origin } = told;
  const value = { ...(name === null ? {} : { name }), ...(policy === null ? {} : { policy }) };
  return { name: id, value, members: {}, origin };
}

/** Edits one table of the configuration: what it is now is read first, so that nobody's change is lost. */
export function EntryDialog(props: EntryDialogProps): VNode {
  const { collection, name, kind, onClose } = props;
  const asked = useAsked<Entry | Tenant>(
    name === null ? null : `${collection}/${encodeURIComponent(name)}`,
  );
  if (name === null) return h(EntryForm, { ...props, entry: null, etag: null });
  if (asked.value !== null && asked.refused === null) {
    return h(EntryForm, { ...props, entry: asEntry(asked.value), etag: asked.etag });
  }
  return h(
    Dialog,
    { title: `Change ${kind} ${name}`, onClose },
    asked.refused === null ? skeleton(4) : refusedNote(asked.refused, asked.again),
  );
}
