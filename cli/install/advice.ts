// What somebody who has rendered an installation has to know and to do, line by line, for standard error.
import { isMovable } from './images.ts';
import type { Keys } from './keys.ts';
import { NAMESPACE, type Settings } from './settings.ts';

export interface Rendered {
  readonly settings: Settings;
  readonly keys: Keys;
  /** How the program was called. */
  readonly program: string;
  /** The Secrets are among what was rendered. */
  readonly hasSecrets: boolean;
}

export function advice({ settings, keys, program, hasSecrets }: Rendered): readonly string[] {
  const { signing, tls, made } = keys;
  const lines: string[] = [];
  if (made.length > 0) lines.push(`made in ${settings.keysFolder}: ${made.join(', ')}`);
  if (signing !== undefined)
    lines.push(
      `signing key  fingerprint ${signing.keyid}`,
      `             ${signing.publicFile}: keep a copy, bundles are verified with it`,
    );
  else lines.push(`signing key  ${settings.key}: the controller's role needs kms:GetPublicKey and kms:Sign`);
  if (tls !== undefined)
    lines.push(`certificate  until ${tls.until.toISOString().slice(0, 10)}; render and apply again before that`);
  lines.push('');
  const secrets = secretsOf(settings, keys);
  if (secrets.length > 0) lines.push(...(hasSecrets ? withSecrets(secrets) : withoutSecrets(secrets)), '');
  for (const text of [...(tls?.advice ?? []), ...moving(settings)]) lines.push(`note: ${text}`, '');
  if (settings.storeSecret !== undefined)
    lines.push(
      `the store's credentials are in a Secret that you make; pods wait for it:`,
      `  kubectl -n ${NAMESPACE} create secret generic ${settings.storeSecret} --from-env-file=FILE`,
      '  where FILE has AWS_ACCESS_KEY_ID=… and AWS_SECRET_ACCESS_KEY=…',
      '',
    );
  lines.push(...nextSteps(settings, program));
  return lines;
}

interface SecretFiles {
  readonly name: string;
  /** For kubectl create secret. */
  readonly words: string;
}

function secretsOf({ key, keysFolder }: Settings, { signing, tls }: Keys): readonly SecretFiles[] {
  const file = (name: string): string => `${keysFolder}/${name}`;
  const found: SecretFiles[] = [];
  if (signing !== undefined)
    found.push({
      name: 'impound-signing-key',
      words: `generic impound-signing-key --from-file=signing.pem=${key ?? file('signing.pem')}`,
    });
  if (tls !== undefined)
    found.push({
      name: 'impound-controller-tls',
      words: `tls impound-controller-tls --cert=${file('tls.crt')} --key=${file('tls.key')}`,
    });
  return found;
}

function withSecrets(secrets: readonly SecretFiles[]): readonly string[] {
  return [
    `What was printed has private keys (Secret ${secrets.map(({ name }) => name).join(', ')}): hand it to kubectl, and keep`,
    'it out of version control, or leave them out with --no-secrets. The key of the authority is not among them.',
  ];
}

function withoutSecrets(secrets: readonly SecretFiles[]): readonly string[] {
  return [
    'Without these Secrets no controller starts; of your own machinery, or with kubectl:',
    ...secrets.map(({ words }) => `  kubectl -n ${NAMESPACE} create secret ${words}`),
    '(sealed: the same with --dry-run=client -o yaml | kubeseal)',
  ];
}

function moving({ images }: Settings): readonly string[] {
  const movable = [images.controller, images.agent].filter(isMovable);
  return movable.length === 0
    ? []
    : [`${movable.join(' and ')} may be another image tomorrow: name them by digest, or a tag that stays`];
}

function nextSteps({ tls }: Settings, program: string): readonly string[] {
  const lines = [
    'next:',
    '  … | kubectl apply --server-side -f -',
    `  kubectl -n ${NAMESPACE} rollout status deployment/impound-controller daemonset/impound-agent --timeout=3m`,
    '  who may what: docs/install.md, step 4, has the bindings of responders, analysts and releasers',
    `  ${program} check`,
  ];
  if (tls.kind === 'self') return lines;
  return [
    'cert-manager writes the Secret impound-controller-tls. Agents take their authority from the ConfigMap impound-ca, never from the',
    'Secret, and do not start before it is there. After applying (and with a new authority again; trust-manager can do it):',
    `  kubectl -n ${NAMESPACE} get secret impound-controller-tls -o jsonpath='{.data.ca\\.crt}' | base64 -d > ca.crt`,
    `  kubectl -n ${NAMESPACE} create configmap impound-ca --from-file=ca.crt --dry-run=client -o yaml | kubectl apply --server-side -f -`,
    '',
    ...lines,
  ];
}
