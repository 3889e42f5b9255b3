import { type ListedModel, ModelList } from '../admit/model-list.ts';
import type { Plans } from '../plan/open-planner.ts';
import type { ModelPermission } from '../policy/model-permission.ts';

/** The lists of models of one configuration: one for each permission, made when it is first asked for. */
export class ModelLists {
  readonly #plans: Plans;
  /** As many as the configuration has lists of names, and one for who may ask for all. */
  readonly #made = new Map<ModelPermission | null, ModelList>();

  constructor(plans: Plans) {
    this.#plans = plans;
  }

  of(permission: ModelPermission | null): ModelList {
    const known = this.#made.get(permission);
    if (known !== undefined) return known;
    const listed = this.#listed(permission);
    // Who speaks another wire is asked by translation.
    const made = new ModelList({ openai: listed, anthropic: listed }, permission);
    this.#made.set(permission, made);
    return made;
  }

  /** What a caller may ask for, as it is listed. */
  #listed(permission: ModelPermission | null): readonly ListedModel[] {
    const { planner, prices, names } = this.#plans;
    return names((target) => planner.mayAnswer(target), permission).map(({ name, target }) => {
      const traits = target === null ? null : prices.traits(target.provider.name, target.model);
      return {
        id: name,
        owner: target?.provider.name ?? 'sluice',
        contextTokens: traits?.contextTokens ?? null,
        maxOutputTokens: traits?.maxOutputTokens ?? null,
      };
    });
  }
}
