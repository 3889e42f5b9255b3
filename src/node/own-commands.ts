import { type ConfigDocument, configFromDocument } from '../config/config-document.ts';
import { configProof, isProof, isProofLike } from '../config/config-proof.ts';
import type { Secret } from '../secret.ts';

/** Tells this gateway's own commands from everybody else who asks the admin listener. */
export class OwnCommands {
  #document: ConfigDocument | null = null;
  #proof: Secret | null = null;

  /**
   * @param shown the value of `Authorization`
   * @param document the configuration that runs: a command that has read another one is none of this gateway's
   */
  isOne(shown: string | undefined, document: ConfigDocument): boolean {
    if (shown === undefined || !isProofLike(shown)) return false;
    // Made anew when the configuration is another one.
    if (this.#document !== document || this.#proof === null) {
      this.#proof = configProof(configFromDocument(document));
      this.#document = document;
    }
    return isProof(shown, this.#proof);
  }
}
