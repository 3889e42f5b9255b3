import type { z } from 'zod';
import type { Config, ListenAddress } from '../../config/config-document.ts';
import { signingKeys } from '../../keys/signing-keys.ts';
import { type KeyIdentity, parseToken, signatureHolds } from '../../keys/virtual-key.ts';
import { playedBy } from '../../mock/played-fault.ts';
import { classOf, layersOf, saidFirst } from '../../policy/policy-settings.ts';
import type { ConsoleRoom } from '../console-room.ts';
import type { LivePlans } from '../live-plans.ts';
import { type Operation, operation } from '../operation.ts';
import { askedOfUs, type OwnAnswer } from '../own-request.ts';
import { Problem } from '../problem.ts';
import { NO_PATH, NO_QUERY, REHEARSE_WISH, REHEARSED } from '../shapes.ts';

/** Rehearsals at once: each is a request on the data plane, and a call that the console's thread keeps. */
const AT_ONCE_MAX = 4;

/** Of what an answer says went wrong, in characters. */
const SAYS_MAX = 500;

/** Short to ask and to answer: targets without a fault are really asked. */
const QUESTION = { stream: true, messages: [{ role: 'user', content: 'Say "ok".' }] };

type Wish = z.output<typeof REHEARSE_WISH>;

/** Faults played in place of targets, for one request: what a caller would get if they failed so. */
export function rehearseOperations(room: ConsoleRoom, live: LivePlans): readonly Operation[] {
  let underWay = 0;
  return [
    operation({
      id: 'rehearse',
      method: 'POST',
      path: '/rehearse',
      summary:
        'Sends one short request with a virtual key, in which some targets fail as is said; the others are really asked.',
      tag: 'explain',
      role: 'operator',
      isNodeWide: true,
      pathShape: NO_PATH,
      queryShape: NO_QUERY,
      bodyShape: REHEARSE_WISH,
      answers: { 200: { says: 'What the caller got, and on which way.', schema: REHEARSED } },
      problems: ['malformed', 'not_found', 'conflict', 'unavailable'],
      writes: true,
      run: async ({ body: wish }) => {
        const { now } = live;
        check(now.config, wish);
        const { kind } = now.plans.planner.resolve(wish.model);
        if (kind !== 'route' && kind !== 'target')
          throw new Problem('not_found', `Nothing is planned for "${wish.model}".`);
        if (underWay >= AT_ONCE_MAX)
          throw new Problem('unavailable', 'Others are rehearsing.', { retryAfter: 1 });
        underWay++;
        try {
          const { tlsCertFile } = now.config;
          const answer = await sent(room.listen, tlsCertFile !== null, wish);
          const audited = { after: { model: wish.model, faults: wish.faults } };
          return { status: 200, body: shown(answer), audited };
        } finally {
          underWay--;
        }
      },
    }),
  ];
}

/** Where the field were not read, the targets that are to fail would be asked and paid. @throws Problem that says why not */
function check({ rehearseAuthority, signingKeys: known, policy }: Config, wish: Wish): void {
  const parts = wish.faults.flatMap(({ fault }, at) =>
    playedBy(fault) === null
      ? [
          {
            key: `body.faults.${at}.fault`,
            found: 'nothing of the kind',
            expected: 'a fault as "sluice mock --help" names it, without "fault-"',
          },
        ]
      : [],
  );
  if (parts.length > 0) throw new Problem('malformed', '', { parts });
  if (rehearseAuthority === null)
    throw new Problem(
      'conflict',
      'There is no "sluice mock" that plays faults: set rehearse_authority in the configuration.',
    );
  const parsed = parseToken(wish.key);
  const signing = parsed === null ? undefined : signingKeys(known).get(parsed.claims.kid);
  if (parsed === null || signing === undefined || !signatureHolds(wish.key, parsed, signing))
    throw new Problem('malformed', '', {
      parts: [
        {
          key: 'body.key',
          found: 'nothing of the kind',
          expected: 'a virtual key of this gateway',
        },
      ],
    });
  if (!mayRehearse(policy, parsed.claims))
    throw new Problem(
      'conflict',
      'No policy of this key says rehearse = true: its requests play no faults.',
    );
}

function mayRehearse(policy: Config['policy'], claims: KeyIdentity): boolean {
  const { keyText, tenantText, keyClass } = claims;
  const layers = layersOf(policy, keyText, tenantText, classOf(policy, keyText, keyClass));
  return saidFirst(layers, 'rehearse')?.value ?? false;
}

async function sent(listen: ListenAddress, isTls: boolean, wish: Wish): Promise<OwnAnswer> {
  const fields = {
    authorization: `Bearer ${wish.key}`,
    'content-type': 'application/json',
    'x-sluice-rehearse': wish.faults.map(({ target, fault }) => `${target}=${fault}`).join(', '),
  };
  const body = JSON.stringify({ model: wish.model, ...QUESTION });
  try {
    return await askedOfUs(listen, isTls, '/v1/chat/completions', fields, body);
  } catch (error) {
    const why = error instanceof Error ? error.message : 'unknown';
    throw new Problem('unavailable', `The gateway did not answer: ${why}`, { retryAfter: 1 });
  }
}

function shown({ status, field, text, isWhole, tookMs }: OwnAnswer): z.output<typeof REHEARSED> {
  const attempts = field('x-sluice-attempts');
  return {
    status,
    target: field('x-sluice-target'),
    attempts: attempts === null ? [] : attempts.split(', ').map(attemptOf),
    whole: isWhole,
    took_ms: tookMs,
    says: status < 400 ? '' : errorIn(text).slice(0, SAYS_MAX),
  };
}

/** `openai/gpt-5 503`, `groq/x SILENT`. */
function attemptOf(text: string): z.output<typeof REHEARSED>['attempts'][number] {
  const at = text.lastIndexOf(' ');
  return at < 0
    ? { target: text, came: '' }
    : { target: text.slice(0, at), came: text.slice(at + 1) };
}

function errorIn(text: string): string {
  try {
    const { error } = JSON.parse(text) as { readonly error?: { readonly message?: unknown } };
    return typeof error?.message === 'string' ? error.message : '';
  } catch {
    return '';
  }
}
