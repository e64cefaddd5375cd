// Options of every verb that asks a cluster.
import type { Command, CommonArguments } from '../command.ts';

export interface ClusterArguments extends CommonArguments {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly as?: string;
  readonly namespace: string;
}

/** As the manifests have it. */
export const NAMESPACE = 'impound-system';
const group = 'Cluster:';

export const clusterOptions: Command<never>['options'] = {
  kubeconfig: { type: 'string', group, describe: 'Kubeconfig file; default: as for kubectl' },
  context: { type: 'string', group, describe: 'Context of the kubeconfig; default: its current one' },
  as: { type: 'string', group, describe: 'User to be for the API server (impersonation)' },
  namespace: { type: 'string', group, default: NAMESPACE, describe: 'Where Impound runs' },
};

/** Of the verbs that read a capture's bundle. */
export interface ControllerArguments extends ClusterArguments {
  readonly controller?: string;
  readonly controllerCa?: string;
}

export const controllerOptions: Command<never>['options'] = {
  ...clusterOptions,
  controller: {
    type: 'string',
    group,
    describe: 'https://HOST:PORT of the controller; default: by port-forward to one of its pods',
  },
  'controller-ca': {
    type: 'string',
    group,
    describe: "Authority of the controller's certificate (PEM); default: ConfigMap impound-ca",
  },
};

export interface TriageArguments {
  readonly triage: boolean;
}

export const triageOption: Command<never>['options'] = {
  triage: {
    type: 'boolean',
    default: true,
    describe: 'At the end what stands out, where you may read evidence, which its chain says; --no-triage: without',
  },
};
