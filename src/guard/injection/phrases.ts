/**
 * What instructions to a model are made of when they come from somebody who has none to give. Plain: small letters and
 * digits, one space between words, no apostrophes, no accents; `sentence.ts` brings texts into that form.
 */

/** What a phrase is a part of. Most say little alone. */
export const PART = {
  /** Not to be followed any more … */
  drop: 0,
  /** … all, previous, your … */
  scope: 1,
  /** … instructions. */
  rules: 2,
  /** What stands above, as an object of its own: `ignore the above`. */
  above: 3,
  /** To be told … */
  tell: 4,
  /** … what nobody is told: a system prompt. */
  hiddenText: 5,
  /** Another role, without the rules of this one. */
  role: 6,
  roleStrong: 7,
  /** Something that the user is not to know. */
  secrecy: 8,
  /** Spoken to a model, where nobody speaks to one. */
  address: 9,
  addressStrong: 10,
  /** Turns the next word around. */
  not: 11,
  /** In front of an order: `please`, `you must`. */
  lead: 12,
  /** Talks about such instructions, wherever it stands. */
  mention: 13,
  /** What `ignore the above` is about when it is about nothing of a model's. */
  mail: 14,
  /** A heading of instructions that begin anew. */
  frame: 15,
  /** Says that what follows is an example. */
  example: 16,
  /** What a jailbreak promises itself: one alone is a question about ethics. */
  vice: 17,
} as const;
export type Part = (typeof PART)[keyof typeof PART];

const LISTS: readonly (readonly [part: Part, phrases: readonly string[]])[] = [
  [
    PART.drop,
    [
      ...['ignore', 'ignores', 'ignoring', 'disregard', 'disregarding', 'forget', 'forgetting'],
      ...['override', 'overrides', 'overriding', 'overwrite', 'bypass', 'neglect', 'discard'],
      ...[
        'pay no attention to',
        'do not follow',
        'dont follow',
        'stop following',
        'no longer follow',
      ],
      ...[
        'do not obey',
        'dont obey',
        'stop obeying',
        'set aside',
        'drop',
        'erase',
        'delete',
        'cancel',
      ],
      ...['are no longer bound by', 'not bound by', 'free from', 'supersede', 'supersedes'],
      // German, French, Spanish, Portuguese, Italian, Dutch
      ...['ignoriere', 'ignorieren sie', 'vergiss', 'vergessen sie', 'missachte'],
      ...['ignorez', 'oublie', 'oubliez', 'ne tenez pas compte', 'ne tiens pas compte'],
      ...['ignora', 'ignore', 'ignorad', 'olvida', 'olvide', 'omite', 'descarta'],
      ...['esqueca', 'desconsidere', 'dimentica', 'negeer', 'vergeet'],
    ],
  ],
  [
    PART.scope,
    [
      ...[
        'all',
        'any',
        'every',
        'previous',
        'previously',
        'prior',
        'above',
        'earlier',
        'preceding',
      ],
      ...[
        'initial',
        'original',
        'foregoing',
        'existing',
        'former',
        'past',
        'your',
        'system',
        'given',
      ],
      ...['alle', 'vorherigen', 'bisherigen', 'vorigen', 'obigen', 'deine', 'ihre'],
      ...['toutes', 'tous', 'precedentes', 'precedents', 'anterieures', 'vos', 'tes'],
      ...['todas', 'todos', 'anteriores', 'previas', 'previos', 'tus', 'sus', 'suas', 'tutte'],
      ...['precedenti', 'eerdere', 'vorige'],
    ],
  ],
  [
    PART.rules,
    [
      ...['instruction', 'instructions', 'prompt', 'prompts', 'rules', 'guidelines', 'directive'],
      ...[
        'directives',
        'commands',
        'orders',
        'programming',
        'constraints',
        'restrictions',
        'training',
      ],
      ...[
        'guidance',
        'policies',
        'safeguards',
        'guardrails',
        'limitations',
        'directions',
        'task',
        'regulations',
        'input',
        'inputs',
        'conversation',
      ],
      ...['instructies', 'anweisungen', 'anweisung', 'instruktionen', 'regeln', 'vorgaben'],
      ...['consignes', 'regles', 'directives', 'instrucciones', 'reglas', 'ordenes'],
      ...['instrucoes', 'regras', 'istruzioni', 'regole'],
    ],
  ],
  [
    PART.above,
    [
      ...[
        'the above',
        'everything above',
        'all of the above',
        'all the above',
        'everything before',
      ],
      ...[
        'everything you were told',
        'what you were told',
        'everything i said',
        'all previous text',
      ],
      ...['everything that came before', 'whatever you were told', 'everything you know'],
    ],
  ],
  [
    PART.tell,
    [
      ...['reveal', 'print', 'repeat', 'show', 'output', 'display', 'tell me', 'give me', 'leak'],
      ...['share', 'recite', 'dump', 'return', 'write out', 'write down', 'what is', 'what are'],
      ...[
        'what was',
        'what were',
        'disclose',
        'copy',
        'echo',
        'summarize',
        'list',
        'translate',
        'encode',
        'continue',
        'complete',
      ],
    ],
  ],
  [
    PART.hiddenText,
    [
      ...[
        'system prompt',
        'system prompts',
        'system message',
        'initial prompt',
        'initial instructions',
      ],
      ...['hidden prompt', 'hidden instructions', 'your instructions', 'your prompt', 'your rules'],
      ...[
        'previous instructions',
        'instructions above',
        'original prompt',
        'original instructions',
      ],
      ...['prompt above', 'text above', 'words above', 'everything above', 'secret instructions'],
      ...[
        'your guidelines',
        'your initial',
        'your system',
        'preprompt',
        'pre prompt',
        'your directives',
      ],
      ...[
        'developer message',
        'your configuration',
        'secret key you',
        'your internal',
        'the instructions you',
      ],
      ...[
        'text you were given',
        'instructions you were given',
        'system configuration',
        'starting instructions',
      ],
      ...[
        'this entire conversation',
        'systemprompt',
        'the prompt you',
        'told before this conversation',
      ],
    ],
  ],
  [
    PART.role,
    [
      ...[
        'you are now',
        'from now on',
        'pretend',
        'roleplay',
        'role play',
        'act as',
        'stay in character',
      ],
      ...[
        'unfiltered',
        'uncensored',
        'no restrictions',
        'without restrictions',
        'without any restrictions',
      ],
      ...[
        'no limits',
        'no limitations',
        'no rules',
        'no filters',
        'no ethical',
        'no moral',
        'unrestricted',
      ],
      ...[
        'never refuse',
        'cannot refuse',
        'can not refuse',
        'never say no',
        'no longer have',
        'amoral',
      ],
      ...[
        'simulate',
        'immersive',
        'hypothetical',
        'break character',
        'in character',
        'evil',
        'alter ego',
      ],
      ...[
        'regardless of legality',
        'illegal or',
        'no matter how',
        'without warnings',
        'no disclaimers',
      ],
      ...[
        'content policy',
        'openai policies',
        'ethical guidelines',
        'safety guidelines',
        'moral guidelines',
      ],
      ...[
        'respond as',
        'answer as',
        'you will be',
        'you are going to',
        'not allowed to refuse',
        'any request',
      ],
    ],
  ],
  [
    PART.roleStrong,
    [
      ...[
        'do anything now',
        'can do anything',
        'developer mode',
        'jailbreak',
        'jailbroken',
        'dan mode',
      ],
      ...[
        'broken free',
        'stay a dan',
        'god mode',
        'freed from',
        'have been freed',
        'anti gpt',
        'evil bot',
      ],
      ...['no longer bound', 'not bound by', 'unbound by', 'breaks free', 'not restricted by'],
      ...[
        'without any filter',
        'no content policy',
        'ignores all ethical',
        'sudo mode',
        'opposite mode',
      ],
    ],
  ],
  [
    PART.secrecy,
    [
      ...[
        'do not tell the user',
        'dont tell the user',
        'do not inform the user',
        'dont inform the user',
      ],
      ...[
        'do not mention this',
        'dont mention this',
        'without telling the user',
        'without informing',
      ],
      ...['without notifying', 'do not let the user', 'dont let the user', 'do not reveal this'],
      ...[
        'do not alert the user',
        'without the user knowing',
        'without asking the user',
        'keep this secret',
      ],
      ...[
        'do not notify',
        'do not disclose this',
        'do not ask the user',
        'without the users knowledge',
      ],
      ...['without asking for confirmation', 'hide this from'],
    ],
  ],
  [
    PART.address,
    [
      ...['ai assistant', 'language model', 'ai model', 'llm', 'llms', 'chatgpt', 'gpt', 'claude'],
      ...['gemini', 'ai agent', 'ai agents', 'the assistant', 'to you', 'the agent', 'copilot'],
      ...[
        'do the following',
        'following instruction',
        'following instructions',
        'you must',
        'strictly',
      ],
      ...[
        'important',
        'urgent',
        'first',
        'instead',
        'the user',
        'use the tool',
        'your task',
        'your new',
      ],
      ...['before you', 'immediately', 'attention', 'comply', 'execute', 'perform'],
    ],
  ],
  [
    PART.addressStrong,
    [
      ...['if you are an ai', 'if you are a language model', 'if you are an llm', 'if youre an ai'],
      ...['as an ai assistant you must', 'as an ai you must', 'note to ai', 'note to the ai'],
      ...['note to llm', 'note to assistant', 'attention ai', 'dear ai', 'message to ai', 'hey ai'],
      ...['instructions for the ai', 'instructions for ai', 'instruction for the assistant'],
      ...['before you can solve the task', 'task that i gave you', 'the task i gave you'],
      ...[
        'do the following first',
        'you should use the tool',
        'new instructions',
        'new instruction',
      ],
      ...['your new task', 'your new instructions', 'your real task', 'updated instructions'],
      ...['before completing the task', 'before answering the user', 'before you answer the user'],
      ...['when the user asks', 'when asked by the user', 'end of user input', 'end of context'],
      ...['important message from', 'adhere to the following', 'to complete the task you must'],
      ...[
        'attention all ai',
        'ai assistants must',
        'ai agents must',
        'llms must',
        'any ai reading',
      ],
    ],
  ],
  [
    PART.not,
    [
      ...['not', 'dont', 'never', 'cannot', 'cant', 'without', 'shouldnt', 'wont', 'doesnt', 'no'],
      ...['didnt', 'mustnt', 'refuse to', 'avoid', 'nicht', 'niemals'],
    ],
  ],
  [
    PART.lead,
    [
      ...[
        'please',
        'now',
        'must',
        'should',
        'and',
        'then',
        'just',
        'first',
        'important',
        'you',
        'so',
      ],
      ...[
        'shall',
        'will',
        'you to',
        'simply',
        'immediately',
        'instead',
        'but',
        'also',
        'todo',
        'ok',
      ],
      ...[
        'bitte',
        'jetzt',
        'por favor',
        'maintenant',
        'ahora',
        'hello',
        'hi',
        'stop',
        'completely',
      ],
      ...[
        'attention',
        'urgent',
        'assistant',
        'system',
        'user',
        'admin',
        'instruction',
        'instructions',
      ],
    ],
  ],
  [
    PART.mention,
    [
      ...[
        'prompt injection',
        'prompt injections',
        'injection attack',
        'injection attacks',
        'attacker',
      ],
      ...['attackers', 'adversarial', 'malicious', 'red team', 'red teaming', 'detects', 'detect'],
      ...['vulnerable', 'vulnerability', 'an attack', 'attacks', 'defend', 'defense', 'mitigate'],
      ...['tricked', 'trick', 'regex', 'test case', 'unit test', 'researchers', 'phrases like'],
    ],
  ],
  [
    PART.example,
    [
      ...['such as', 'for example', 'phrase like', 'attempts to', 'attempt to', 'known as', 'e g'],
      ...[
        'the phrase',
        'the sentence',
        'the words',
        'examples of',
        'example of',
        'tries to',
        'try to',
      ],
      ...[
        'translate the',
        'means',
        'called',
        'explain',
        'explains',
        'understand',
        'article',
        'research',
      ],
    ],
  ],
  [
    PART.vice,
    [
      ...['unethical', 'immoral', 'illegal', 'amoral', 'legality', 'morality', 'ethics', 'morals'],
      ...[
        'ethical',
        'moral',
        'censorship',
        'unfiltered',
        'uncensored',
        'taboo',
        'offensive',
        'nsfw',
      ],
      ...['disclaimers', 'warnings', 'unrestricted', 'laws'],
    ],
  ],
  [
    PART.mail,
    [
      ...[
        'email',
        'emails',
        'mail',
        'message',
        'messages',
        'letter',
        'comment',
        'warning',
        'warnings',
      ],
      ...[
        'error',
        'errors',
        'notice',
        'invoice',
        'post',
        'section',
        'paragraph',
        'figure',
        'files',
      ],
      ...['whitespace', 'case', 'output', 'invitation', 'reminder', 'values', 'lines', 'changes'],
    ],
  ],
  [PART.frame, ['begin system prompt', 'end system prompt', 'system override', 'admin override']],
];

const SCOPES: ReadonlySet<string> = new Set(
  LISTS.filter(([part]) => part === PART.scope).flatMap(([, phrases]) => phrases),
);

/** Every phrase of every part once, a space behind it, so that it ends where a word does. */
const MET = new Map<string, number>();
for (const [part, phrases] of LISTS) {
  for (const phrase of phrases) {
    // The longest phrase is found, and not the word that it begins with.
    const scope = SCOPES.has(phrase.split(' ')[0] ?? '') ? 1 << PART.scope : 0;
    MET.set(`${phrase} `, (MET.get(`${phrase} `) ?? 0) | (1 << part) | scope);
  }
}
export const PHRASES: readonly string[] = [...MET.keys()];
/** Phrase: which parts it may be of, a bit each. */
export const PARTS = Int32Array.from(MET.values());

/** Marks of the templates that conversations are put into, as they are spelled: nobody writes those to a person. */
const TEMPLATES: readonly string[] = [
  ...['<|im_start|>', '<|im_end|>', '<|system|>', '<|user|>', '<|assistant|>', '<|endoftext|>'],
  ...['[inst]', '[/inst]', '<<sys>>', '<</sys>>', '[system message]', '(system_message)'],
  ...[
    '(system message)',
    '<start_of_turn>',
    '<|start_header_id|>',
    '<|eot_id|>',
    '### instruction:',
  ],
  ...['### system:', '###system', '###instruction'],
];
/** Headings that may be anything's. */
const HEADINGS: readonly string[] = [
  ...['[system]', '<system>', '</system>', '<information>', '[admin]', '<admin>', '<important>'],
  ...['<instructions>', '### instruction', '### system', '<system-reminder>'],
];
export const FRAMES: readonly string[] = [...TEMPLATES, ...HEADINGS];
/** Of FRAMES: those in front of it are templates' marks. */
export const FIRST_HEADING = TEMPLATES.length;
