/** What the detector of personal data can look for; also what it says that it found. */
export const PII_KINDS = ['email', 'phone', 'iban', 'card', 'ip', 'secret'] as const;
export type PiiKind = (typeof PII_KINDS)[number];
