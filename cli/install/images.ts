// Which images are run, and what is added to the agents' arguments.
import type { InstallArguments } from '../commands/install.ts';
import { usage } from '../usage.ts';

export interface Images {
  readonly controller: string;
  readonly agent: string;
}

/** Registry or repository, tag, digest (the grammar of distribution's references, its tag and digest optional). */
const REFERENCE =
  /^[a-z0-9][a-z0-9.-]*(:\d+)?(\/[a-z0-9][a-z0-9._-]*)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$/;

/** Throws `usage`. */
export function images({ registry, tag, controllerImage, agentImage }: InstallArguments): Images {
  if ((registry === undefined) !== (tag === undefined))
    throw usage('--registry REGISTRY and --tag TAG belong together: REGISTRY/impound-controller:TAG is run');
  const image = (program: 'controller' | 'agent', given: string | undefined): string => {
    if (given === undefined && (registry === undefined || tag === undefined))
      throw usage(
        `say which images are run: --registry REGISTRY --tag TAG, or --controller-image and --agent-image (no ${program}'s was given; docs/image.md says how they are built)`,
      );
    const reference = given ?? `${registry?.replace(/\/$/, '')}/impound-${program}:${tag}`;
    if (!REFERENCE.test(reference))
      throw usage(
        `${reference}: that is no reference of an image; write REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST`,
      );
    return reference;
  };
  return { controller: image('controller', controllerImage), agent: image('agent', agentImage) };
}

/** A tag can be moved to another image, and without one it is "latest". */
export function isMovable(reference: string): boolean {
  const [, last = ''] = /([^/]*)$/.exec(reference) ?? [];
  return !last.includes('@') && (!last.includes(':') || last.endsWith(':latest'));
}

export function agentArguments(words: readonly string[]): readonly string[] {
  const wrong = words.find((word) => !/^--[a-z]/.test(word));
  if (wrong !== undefined) throw usage(`--agent-arg ${wrong}: give it as one word, --agent-arg=--containerd=/run/…`);
  return words;
}
