/** A guard of one's own: takes e-mail addresses and telephone numbers out of prompts and answers. */
const EMAIL = /(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}/g;
const PHONE = /(?<![\d+])\+?\d(?:[ ()/.-]{0,2}\d){7,14}(?!\d)/g;

function redacted(text: string): string {
  return text.replace(EMAIL, '[email]').replace(PHONE, '[phone]');
}

export default { name: 'redact', request: redacted, response: redacted };
