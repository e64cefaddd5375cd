// impound install --render: everything that is to be applied, on standard output; what somebody must know, beside it.
import { type Document, stringify } from 'yaml';
import { systemClock } from '../../evidence/index.ts';
import { software } from '../../evidence/software.ts';
import type { Environment, ExitCode } from '../command.ts';
import type { InstallArguments } from '../commands/install.ts';
import { usage } from '../usage.ts';
import { adjust } from './adjust.ts';
import { advice } from './advice.ts';
import { installationKeys, type Keys } from './keys.ts';
import { readManifests } from './manifests.ts';
import { certManagerObjects, configMap, controllerFile, secret } from './objects.ts';
import { NAMESPACE, type Settings, settingsOf } from './settings.ts';

/** Of lines; longer ones are folded as they were. */
const WIDTH = 130;

export async function runInstall(argv: InstallArguments, environment: Environment): Promise<ExitCode> {
  const { json, quiet, stdout, stderr, program } = environment;
  if (!argv.render)
    throw usage(
      `install applies nothing itself: "${program} install --render --cluster NAME --store s3://BUCKET/PREFIX --region REGION --registry REGISTRY --tag TAG > impound.yaml" prints what is to be applied; read it, then "kubectl apply --server-side -f impound.yaml"`,
    );
  const settings = settingsOf(argv);
  const documents = await readManifests(settings.components);
  const keys = await installationKeys({ settings, renew: argv.renew, rotate: argv.rotateCa, clock: systemClock });
  const configuration = stringify(controllerFile(settings));
  adjust(documents, { settings, configuration, keyid: keys.signing?.keyid });
  // they stand before the pods that wait for them
  const at = documents.findIndex((document) => document.get('kind') === 'PriorityClass');
  documents.splice(at, 0, ...ownObjects(settings, configuration, keys, argv.secrets));
  const title = `${await software()}, for the cluster ${settings.cluster}.`;
  stdout.write(json ? jsonList(documents) : yamlStream(documents, title, argv.secrets));
  if (!quiet) stderr.write(`${advice({ settings, keys, program, hasSecrets: argv.secrets }).join('\n')}\n`);
  return 0;
}

/** ConfigMaps, Secrets and certificates. */
function ownObjects(
  settings: Settings,
  configuration: string,
  { signing, tls }: Keys,
  hasSecrets: boolean,
): readonly Document[] {
  const objects = [
    configMap('impound-controller', ' What the controllers are started with (docs/install.md).', {
      'controller.yaml': configuration,
    }),
  ];
  if (tls !== undefined)
    objects.push(
      configMap('impound-ca', ' Whom agents believe to be the controller. Public.', { 'ca.crt': tls.authorities }),
    );
  if (settings.tls.kind === 'cert-manager') objects.push(...certManagerObjects(settings.tls));
  if (!hasSecrets) return objects;
  if (signing !== undefined)
    objects.push(
      secret(
        'impound-signing-key',
        ' Signs the chain of custody: whoever has it can sign as the controller.',
        'Opaque',
        {
          'signing.pem': signing.pem,
        },
      ),
    );
  if (tls !== undefined)
    objects.push(
      secret('impound-controller-tls', " The controller's certificate and its key.", 'kubernetes.io/tls', {
        'tls.crt': tls.certificate,
        'tls.key': tls.key,
      }),
    );
  return objects;
}

function yamlStream(documents: readonly Document[], title: string, hasSecrets: boolean): string {
  const keysInside = hasSecrets && documents.some((document) => document.get('kind') === 'Secret');
  const lines = [
    title,
    ...(keysInside ? ['It has private keys: hand it to kubectl, and keep it out of version control.'] : []),
    `Apply it with: kubectl apply --server-side -f FILE   (namespace ${NAMESPACE})`,
  ];
  const head = lines.map((line) => `# ${line}\n`).join('');
  const texts = documents.map((document) => {
    // what stood in a file between others has its own "---"
    if (document.directives) document.directives.docStart = null;
    return document.toString({ lineWidth: WIDTH });
  });
  return `${head}---\n${texts.join('---\n')}`;
}

function jsonList(documents: readonly Document[]): string {
  const items = documents.map((document) => document.toJS() as object);
  return `${JSON.stringify({ apiVersion: 'v1', kind: 'List', items }, undefined, 1)}\n`;
}
