// The agents: on every node a pod that is ready, which asks the controller for work, has the time, and reaches the store.
import type { CheckedAgent } from '../../../protocol/index.ts';
import { counted } from '../../terminal/text.ts';
import type { Connection } from '../connect.ts';
import { agentPods, agentSet, isReady, type PodObject, troubleOf } from '../diagnosis.ts';
import { isNodeReady, type NodeObject } from '../node.ts';
import { ifMay } from '../rights.ts';
import { SEE } from '../roles.ts';
import { similarTo } from '../similar.ts';
import { type Asked, GATHER_SECONDS } from './ask.ts';
import { type Finding, ok, trouble, unknown, unseen, warning } from './finding.ts';
import { virtualKind, whyUnplaced } from './nodes.ts';

/** A poll is under way for some of it. */
const SKEW_MILLISECONDS = 2000;
/** Of nodes that are named in one row. */
const SHOWN_NODES = 5;

/** What is known of one node that can be captured. */
interface Place {
  readonly node: string;
  readonly object: NodeObject | undefined;
  readonly pod: PodObject | undefined;
  /** By the controller's word. */
  readonly heard: CheckedAgent | undefined;
}

/** `chosen`: of these nodes only. */
export async function agentFindings(
  connection: Connection,
  { reply }: Asked,
  chosen: readonly string[] | undefined,
): Promise<readonly Finding[]> {
  const { kubernetes, namespace } = connection;
  const [nodes, pods, set] = await Promise.all([
    ifMay(connection, SEE.nodes, async () => (await kubernetes.list<NodeObject>('/api/v1/nodes')).items),
    ifMay(connection, SEE.pods, () => agentPods(connection)),
    agentSet(connection),
  ]);
  const agents = reply.kind === 'answered' ? reply.value.agents : undefined;
  const isChosen = (name: string): boolean => chosen === undefined || chosen.includes(name);
  const strangers = (chosen ?? []).filter((name) => nodes?.some(({ metadata }) => metadata.name === name) === false);
  const virtual = (nodes ?? []).filter((node) => virtualKind(node) !== undefined && isChosen(node.metadata.name));
  const names = nodes?.filter((node) => virtualKind(node) === undefined).map(({ metadata }) => metadata.name) ?? [
    ...new Set([...(pods ?? []).map(({ spec }) => spec.nodeName ?? ''), ...(agents ?? []).map(({ node }) => node)]),
  ];
  const places = names.filter(isChosen).map(
    (node): Place => ({
      node,
      object: nodes?.find(({ metadata }) => metadata.name === node),
      pod: best(pods?.filter(({ spec }) => spec.nodeName === node) ?? []),
      heard: agents?.find((one) => one.node === node),
    }),
  );
  const all = (nodes ?? []).map(({ metadata }) => metadata.name);
  return [
    ...strangers.map((name) =>
      trouble(name, `there is no such node${similarTo(name, all, '')}`, '"kubectl get nodes" lists them'),
    ),
    ...together(
      virtual.map((node) => [
        node.metadata.name,
        warning(
          'nodes',
          `${virtualKind(node)}: it runs no agent, and cannot be captured`,
          'run what matters on nodes of your own',
        ),
      ]),
    ),
    ...(nodes === undefined ? [unseen('nodes', [SEE.nodes], namespace)] : []),
    ...(pods === undefined ? [unseen('pods', [SEE.pods], namespace)] : podFindings(places, set, namespace)),
    ...(reply.kind === 'answered'
      ? [
          ...heardFindings(places, reply.value.replica.leadsSeconds, pods !== undefined),
          ...clockFindings(places),
          ...versionFindings(places, reply.value.replica.software),
          ...wayFindings(places),
          ...runtimeFindings(places),
        ]
      : [unknown('at work', reply.kind === 'failed' ? 'the controller could not be asked' : reply.text, reply.remedy)]),
  ];
}

function best(pods: readonly PodObject[]): PodObject | undefined {
  return pods.find(isReady) ?? pods[0];
}

function podFindings(
  places: readonly Place[],
  set: Parameters<typeof whyUnplaced>[1],
  namespace: string,
): readonly Finding[] {
  const look = `kubectl -n ${namespace} describe`;
  const wrong = places.flatMap(({ node, object, pod }): readonly (readonly [string, Finding])[] => {
    if (pod !== undefined && isReady(pod)) return [];
    if (object !== undefined && !isNodeReady(object))
      return [[node, trouble('pods', 'the node is not ready, so its agent does not answer', 'see to its kubelet')]];
    if (pod !== undefined)
      return [[node, trouble('pods', `${pod.metadata.name} ${troubleOf(pod)}`, `${look} pod ${pod.metadata.name}`)]];
    if (set === 'missing') return []; // said below
    const why = object === undefined ? 'nothing is known of it' : whyUnplaced(object, set);
    return [[node, trouble('pods', `no agent's pod: ${why}`, `${look} daemonset impound-agent`)]];
  });
  const bare = places.filter(({ pod }) => pod === undefined).map(({ node }) => node);
  const gone = set === 'missing' ? [noSet(bare)] : [];
  if (wrong.length === 0 && gone.length === 0 && places.length > 0)
    return [ok('pods', `${places.length === 1 ? 'the node has' : `each of ${places.length} nodes has`} a ready agent`)];
  return [...gone, ...together(wrong)];
}

function noSet(bare: readonly string[]): Finding {
  const without = bare.length === 0 ? '' : `${nodeNames(bare)} ${bare.length === 1 ? 'has' : 'have'} no agent, and `;
  const seen = `there is no DaemonSet impound-agent: ${without}new nodes get none`;
  return trouble('pods', seen, 'install Impound: docs/install.md');
}

/** Only of nodes with a ready pod, as far as pods are known: what is missing elsewhere is said already. */
function heardFindings(places: readonly Place[], leadsSeconds: number, arePodsKnown: boolean): readonly Finding[] {
  const ready = places.filter(({ pod }) => (pod === undefined ? !arePodsKnown : isReady(pod)));
  const wrong = ready.flatMap(({ node, heard, pod }): readonly (readonly [string, Finding])[] => {
    if (heard !== undefined && heard.state !== 'away') return [];
    if (heard === undefined && leadsSeconds < GATHER_SECONDS) {
      const seen = `not heard yet, by a replica that leads since ${leadsSeconds} s`;
      return [[node, unknown('at work', seen, 'ask again in half a minute')]];
    }
    const seen = heard === undefined ? 'it has never asked the controller for work' : `silent since ${heard.seconds} s`;
    const logs = pod === undefined ? 'see its log' : `kubectl logs -n ${pod.metadata.namespace} ${pod.metadata.name}`;
    return [[node, trouble('at work', seen, `${logs}: does it reach the controller, is its token taken?`)]];
  });
  const here = ready.length - wrong.length;
  const capturing = ready.filter(({ heard }) => heard?.state === 'capturing').length;
  const busy = capturing === 0 ? '' : `, ${capturing} of them at a capture`;
  return [
    ...(here === 0
      ? []
      : [ok('at work', `${here === places.length && here > 1 ? 'all ' : ''}${here} at the controller${busy}`)]),
    ...together(wrong),
  ];
}

function clockFindings(places: readonly Place[]): readonly Finding[] {
  const known = places.flatMap(({ node, heard }) =>
    heard?.aheadMilliseconds === undefined ? [] : [[node, heard.aheadMilliseconds] as const],
  );
  const wrong = known.filter(([, ahead]) => Math.abs(ahead) > SKEW_MILLISECONDS);
  const most = Math.max(0, ...known.filter((one) => !wrong.includes(one)).map(([, ahead]) => Math.abs(ahead)));
  return [
    ...(known.length > wrong.length ? [ok('clocks', `within ${most} ms of the controller's`)] : []),
    ...wrong.map(([node, ahead]) =>
      warning(
        'clocks',
        `${node}: ${(Math.abs(ahead) / 1000).toFixed(0)} s ${ahead > 0 ? 'ahead of' : 'behind'} the controller's`,
        'set it (chrony, ntpd), unless the node is the suspect: then write it down',
      ),
    ),
  ];
}

function versionFindings(places: readonly Place[], software: string): readonly Finding[] {
  const wrong = places.flatMap(({ node, heard }): readonly (readonly [string, Finding])[] => {
    if (heard?.software === undefined || heard.software === software) return [];
    return [
      [
        node,
        warning(
          'version',
          `${heard.software}, and the controller has ${software}`,
          'let the rollout end, or apply the manifests again',
        ),
      ],
    ];
  });
  return together(wrong);
}

function wayFindings(places: readonly Place[]): readonly Finding[] {
  const stored = places.flatMap(({ heard }) => (heard?.store?.outcome === 'stored' ? [heard.store.milliseconds] : []));
  const busy = places.filter(({ heard }) => heard?.store?.outcome === 'busy').length;
  const wrong = places.flatMap(({ node, heard }): readonly (readonly [string, Finding])[] => {
    const { store } = heard ?? {};
    if (heard === undefined || heard.state === 'away') return [];
    if (store === undefined)
      return [[node, unknown('way to store', 'not tried', 'who may create nodecaptures can have it tried')]];
    if (store.outcome === 'failed')
      return [
        [
          node,
          trouble(
            'way to store',
            `${store.message} [${store.code}]`,
            'see DNS, egress and firewall of that node; the controller’s way is another',
          ),
        ],
      ];
    if (store.outcome === 'silent')
      return [[node, trouble('way to store', 'its agent did not say what became of the try', "see its pod's log")]];
    return store.outcome === 'unasked' ? [[node, unknown('way to store', store.why)]] : [];
  });
  const [least, most] = [Math.min(...stored), Math.max(...stored)];
  const range = least === most ? `${most} ms` : `${least} to ${most} ms`;
  const well =
    stored.length === 0 ? [] : [ok('way to store', `${stored.length} stored a trial object from there, in ${range}`)];
  const away = busy === 0 ? [] : [ok('way to store', `${busy} at a capture, whose evidence takes it`)];
  return [...well, ...away, ...together(wrong)];
}

/** Of agents that were asked: without its runtime a capture has no container of the node. */
function runtimeFindings(places: readonly Place[]): readonly Finding[] {
  const asked = places.flatMap(({ node, heard }) =>
    heard?.store !== undefined && 'runtimes' in heard.store && heard.store.runtimes !== undefined
      ? [{ node, runtimes: heard.store.runtimes }]
      : [],
  );
  const without = asked.filter(({ runtimes }) => runtimes.length === 0);
  const well = asked.length - without.length;
  const seen = 'its agent finds no container runtime: a capture would have no containers';
  const remedy = 'name the socket: "impound install --agent-arg=--containerd=SOCKET" (docs/install.md)';
  return [
    ...(well === 0 ? [] : [ok('runtime', `a container runtime listens on ${counted(well, 'node')}`)]),
    ...together(without.map(({ node }) => [node, warning('runtime', seen, remedy)])),
  ];
}

/** Nodes of which the same is to be said are one row. */
function together(found: readonly (readonly [node: string, Finding])[]): readonly Finding[] {
  const key = ({ name, outcome, seen }: Finding): string => JSON.stringify([name, outcome, seen]);
  return [...Map.groupBy(found, ([, finding]) => key(finding)).values()].flatMap((some) => {
    const [first] = some;
    if (first === undefined) return [];
    return [{ ...first[1], seen: `${nodeNames(some.map(([node]) => node))}: ${first[1].seen}` }];
  });
}

function nodeNames(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN_NODES).join(', ');
  return names.length > SHOWN_NODES ? `${shown} and ${names.length - SHOWN_NODES} more nodes` : shown;
}
