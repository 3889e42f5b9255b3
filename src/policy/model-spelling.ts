/**
 * Which names are one model to a limit. Providers take several spellings of one, and a limit that a caller can step around by
 * writing the name otherwise is none. A limit holds for the name it is written for and for every longer spelling of it; it is
 * no matter of permissions, where a name that is not written down is refused.
 *
 * Another spelling differs in case, has `models/` in front (Gemini), or ends in a date or a word for a version:
 * - dates: `-2024-08-06` (OpenAI), `-20250929`, `@20250929` (Anthropic, also at Vertex), `-08-2024` (Cohere), `-0613`, `-2411`
 *   (older OpenAI, Mistral), `-001` (Gemini)
 * - words: `-latest`, `:latest`, `@latest`, `@default`; `:free`, `:nitro`, `:floor`, `:online`, `:extended`, `:thinking`, `:exacto`
 *   (openrouter.ai/docs, model variants)
 *
 * A name of two models that differ in such an end alone would count for the shorter one's limit too, where somebody wrote one.
 */

const ENDS =
  /(?:[-@](?:\d{4}-\d\d-\d\d|\d\d-\d{4}|\d{8}|\d{3,4})|[-:@]latest|@default|:(?:free|nitro|floor|online|extended|thinking|exacto))$/;

/** Ends that one name may have behind each other. */
const ENDS_MAX = 3;

/**
 * The names under which a model counts: its own first, then what it is a spelling of.
 * @param model as a provider knows it, without the provider
 */
export function spellingsOf(model: string): readonly string[] {
  const names = [model.toLowerCase().replace(/^models\//, '')];
  for (let end = 0; end < ENDS_MAX; end++) {
    const last = names.at(-1) ?? '';
    const shorter = last.replace(ENDS, '');
    if (shorter === last || shorter === '') break;
    names.push(shorter);
  }
  return names;
}

/** Whether `model` is a spelling of `of`; both without their provider. */
export function isSpellingOf(model: string, of: string): boolean {
  return spellingsOf(model).includes(spellingsOf(of)[0] ?? '');
}
