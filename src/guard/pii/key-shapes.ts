import { ALNUM, BASE64, BASE64URL, DIGIT, HEX, UPPER, VALUE } from './characters.ts';

/** A credential that its maker gives a beginning of its own. */
export interface KeyShape {
  /** As it is spelled: case counts. */
  readonly prefix: string;
  /** What follows is made of: traits, any of them. */
  readonly of: number;
  readonly least: number;
  readonly most: number;
  /** The beginning alone says little: there must be digits, and more capitals or digits than words have. */
  readonly isMixed: boolean;
}

const shape = (
  prefix: string,
  of: number,
  least: number,
  most: number = least,
  isMixed = false,
): KeyShape => ({ prefix, of, least, most, isMixed });

/** Of the longest ones (JWTs apart): what is longer is found up to here. */
export const KEY_UNITS = 512;

/** From what the makers document, or what their keys are seen to be: of each the beginning, and how many units at least. */
export const KEY_SHAPES: readonly KeyShape[] = [
  // Amazon: ids of access keys. The secret that goes with one has no shape, and is known by its name.
  ...['AKIA', 'ASIA', 'ABIA', 'ACCA'].map((prefix) => shape(prefix, UPPER | DIGIT, 16)),
  // GitHub, GitLab
  ...['ghp_', 'gho_', 'ghu_', 'ghs_', 'ghr_'].map((prefix) => shape(prefix, ALNUM, 36, 255)),
  shape('github_pat_', BASE64URL, 22, 255),
  shape('glpat-', BASE64URL, 20, 255),
  // Slack
  ...['xoxa-', 'xoxb-', 'xoxe-', 'xoxo-', 'xoxp-', 'xoxr-', 'xoxs-', 'xapp-'].map((prefix) =>
    shape(prefix, BASE64URL, 10, 255, true),
  ),
  shape('hooks.slack.com/services/', BASE64, 30, 90),
  // Stripe
  ...['sk_live_', 'sk_test_', 'rk_live_', 'rk_test_', 'pk_live_', 'pk_test_'].map((prefix) =>
    shape(prefix, ALNUM, 16, 255),
  ),
  shape('whsec_', BASE64, 24, 255),
  // Providers of models: OpenAI, Anthropic, OpenRouter and many more begin with sk-
  shape('sk-', BASE64URL, 20, 200, true),
  shape('gsk_', ALNUM, 40, 64),
  shape('xai-', ALNUM, 60, 100),
  shape('pplx-', ALNUM, 40, 64),
  shape('hf_', ALNUM, 30, 40, true),
  shape('r8_', ALNUM, 36, 40, true),
  // Google
  shape('AIza', BASE64URL, 35),
  shape('GOCSPX-', BASE64URL, 28),
  shape('ya29.', BASE64URL, 20, KEY_UNITS),
  // Registries, mail, hosting
  shape('npm_', ALNUM, 36),
  shape('pypi-AgE', BASE64URL, 50, KEY_UNITS),
  shape('SG.', VALUE, 60, 72, true),
  shape('dop_v1_', HEX, 64),
  shape('shpat_', HEX, 32),
  shape('dapi', HEX, 32, 36),
  shape('glsa_', BASE64URL, 32, 64),
  shape('AGE-SECRET-KEY-1', UPPER | DIGIT, 58),
  // This gateway's own
  ...['bai_v1.', 'bai_v2.', 'bai_v3.'].map((prefix) => shape(prefix, VALUE, 40, KEY_UNITS)),
];
