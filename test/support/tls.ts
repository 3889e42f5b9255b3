import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';

/** A key and the certificate that it signed for itself, both PEM. */
export interface SelfSigned {
  readonly key: string;
  readonly cert: string;
}

const DAY_MS = 86_400_000;

// DER (X.690) tags that a certificate (RFC 5280 §4.1) is made of.
const TAG = {
  integer: 2,
  bits: 3,
  octets: 4,
  oid: 6,
  utf8: 12,
  sequence: 0x30,
  set: 0x31,
  time: 24,
};
const OID_ECDSA_SHA256 = '2a8648ce3d040302';
const OID_COMMON_NAME = '550403';
const OID_SUBJECT_ALT_NAME = '551d11';
const TAG_VERSION = 0xa0;
const TAG_EXTENSIONS = 0xa3;
const TAG_DNS_NAME = 0x82;
const TAG_IP_ADDRESS = 0x87;

/**
 * Makes a certificate for these names and IPv4 addresses, so that no test needs a tool or a committed key.
 * @param validDays from now; negative: it ended that long ago
 */
export function selfSigned(names: readonly string[], validDays = 2): SelfSigned {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = sequence(oid(OID_ECDSA_SHA256));
  // Of its own: among authorities of one name, OpenSSL looks for the signer at whichever comes first.
  const commonName = Buffer.from(`Sluice test ${randomBytes(8).toString('hex')}`);
  const subject = sequence(der(TAG.set, sequence(oid(OID_COMMON_NAME), der(TAG.utf8, commonName))));
  const end = Date.now() + validDays * DAY_MS;
  const alternatives = sequence(...names.map(alternative));
  const tbs = sequence(
    der(TAG_VERSION, der(TAG.integer, Buffer.of(2))),
    // A leading 1 keeps the serial positive whatever the random bytes are.
    der(TAG.integer, Buffer.concat([Buffer.of(1), randomBytes(8)])),
    algorithm,
    subject,
    sequence(time(end - 9 * DAY_MS), time(end)),
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(
      TAG_EXTENSIONS,
      sequence(sequence(oid(OID_SUBJECT_ALT_NAME), der(TAG.octets, alternatives))),
    ),
  );
  const signature = der(TAG.bits, Buffer.concat([Buffer.of(0), sign('sha256', tbs, privateKey)]));
  const base64 = sequence(tbs, algorithm, signature)
    .toString('base64')
    .replace(/.{64}(?=.)/g, '$&\n');
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`,
  };
}

function alternative(name: string): Buffer {
  if (isIP(name) === 4) return der(TAG_IP_ADDRESS, Buffer.from(name.split('.').map(Number)));
  return der(TAG_DNS_NAME, Buffer.from(name));
}

function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.of(tag, length), content]);
  const size =
    length < 0x100 ? Buffer.of(0x81, length) : Buffer.of(0x82, length >> 8, length & 0xff);
  return Buffer.concat([Buffer.of(tag), size, content]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(TAG.sequence, Buffer.concat(parts));
}

function oid(hex: string): Buffer {
  return der(TAG.oid, Buffer.from(hex, 'hex'));
}

/** GeneralizedTime, whole seconds. */
function time(ms: number): Buffer {
  const text = new Date(ms).toISOString().replace(/\.\d+Z|[-:T]/g, '');
  return der(TAG.time, Buffer.from(`${text}Z`));
}
