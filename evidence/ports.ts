// What the rooms are given from outside: a logger, a clock, a signer, an actor.

/** From what ends a program to what only its makers want to know. */
export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];

/** Structured logging; `fields` are plain JSON values. Text from evidence belongs in fields, never in `message`. */
export interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** Wall clock, so that a test can set it. */
export interface Clock {
  now(): Date;
}

export const systemClock: Clock = { now: () => new Date() };

/** Who acts, as a custody entry names it. `node`, `pod` and `session` are an agent's. */
export interface Actor {
  readonly kind: 'person' | 'agent' | 'controller';
  readonly name: string;
  readonly node?: string;
  readonly pod?: string;
  readonly session?: number;
}

/** ECDSA P-256 over SHA-256, DER signatures; a PEM file here, AWS KMS elsewhere. */
export interface Signer {
  /** SHA-256 of the public key's SPKI DER, lower-case hex. */
  readonly keyid: string;
  /** The public key as SPKI PEM, exactly as Node exports it. */
  readonly publicKeyPem: string;
  /** Where the key is and of what kind, for people: "PEM file", "AWS KMS". */
  readonly kind: string;
  sign(bytes: Uint8Array): Promise<Uint8Array>;
}
