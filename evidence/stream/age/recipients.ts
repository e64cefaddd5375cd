// Who may open what is encrypted: age recipients as a person writes them (https://age-encryption.org/v1).
import { ImpoundError } from '../../errors.ts';

/** Each adds up to 1.6 kB to the header of every artefact; this many of the largest kind keep it below its bound. */
const MAX_RECIPIENTS = 32;
/** The hybrid kind has 1959 characters; people know a recipient by how it begins. */
const SHOWN_CHARACTERS = 24;

export interface AgeRecipient {
  readonly kind: 'X25519' | 'MLKEM768-X25519';
  /** `age1…` or `age1pq1…`: public, so it may be shown and recorded. */
  readonly text: string;
}

/**
 * Recipients from `age1…` (X25519) or `age1pq1…` (post-quantum hybrid) texts, at least one; one named twice counts
 * once. Throws `usage` naming the one that cannot be used. Tells from the texts alone: whether anybody still has the
 * identity of a recipient, nobody can tell.
 */
export async function parseRecipients(texts: readonly string[]): Promise<readonly AgeRecipient[]> {
  const recipients: AgeRecipient[] = [];
  for (const text of new Set(texts.map((text) => text.trim()))) recipients.push(await parseRecipient(text));
  if (recipients.length === 0) throw usage('no age recipient was given; "age-keygen -o FILE" makes an identity');
  if (recipients.length > MAX_RECIPIENTS)
    throw usage(`${recipients.length} age recipients were given; at most ${MAX_RECIPIENTS} can be`);
  if (new Set(recipients.map(({ kind }) => kind)).size > 1)
    throw usage('post-quantum recipients (age1pq1…) and others (age1…) cannot be mixed: the weaker would decide');
  return recipients;
}

async function parseRecipient(text: string): Promise<AgeRecipient> {
  if (/^AGE-SECRET-KEY-/i.test(text))
    throw usage(
      'a secret key was given as age recipient; give what "age-keygen -y" prints for it, beginning with age1',
    );
  if (/^age1(?!pq1)[a-z0-9]+1/.test(text))
    throw usage(`the age recipient ${shown(text)} needs a plugin or hardware key, which cannot be used here`);
  if (!text.startsWith('age1'))
    throw usage(`${shown(text)} is not an age recipient: one begins with age1; "age-keygen -y FILE" prints it`);
  const { Encrypter } = await import('age-encryption');
  const encrypter = new Encrypter();
  try {
    encrypter.addRecipient(text);
    await encrypter.encrypt(new Uint8Array()); // some points and lattice keys are well written and yet of no use
  } catch (cause) {
    throw usage(`the age recipient ${shown(text)} is mistyped or cut off; "age-keygen -y FILE" prints it`, cause);
  }
  return { kind: text.startsWith('age1pq1') ? 'MLKEM768-X25519' : 'X25519', text };
}

function shown(text: string): string {
  const start = text.slice(0, SHOWN_CHARACTERS);
  return JSON.stringify(start.length < text.length ? `${start}…` : start);
}

function usage(message: string, cause?: unknown): ImpoundError {
  return new ImpoundError('usage', message, { operation: 'read recipients', cause });
}
