// The part of containerd's own API that is read: github.com/containerd/containerd/api, services/*/v1 and types.
// Field numbers and names are those of the API; only calls that change nothing stand under `services`.
import { WELL_KNOWN } from './notation.ts';

export const CONTAINERD = {
  enums: {
    TaskStatus: { UNKNOWN: 0, CREATED: 1, RUNNING: 2, STOPPED: 3, PAUSED: 4, PAUSING: 5 },
    SnapshotKind: { UNKNOWN: 0, VIEW: 1, ACTIVE: 2, COMMITTED: 3 },
  },
  messages: {
    ...WELL_KNOWN,
    VersionResponse: { version: 'string 1', revision: 'string 2' },
    ServerResponse: { uuid: 'string 1', pid: 'uint64 2', pidns: 'uint64 3' },
    FilteredRequest: {},
    ListPluginsResponse: { plugins: 'repeated Plugin 1' },
    Plugin: {
      type: 'string 1',
      id: 'string 2',
      requires: 'repeated string 3',
      exports: 'map<string, string> 5',
      capabilities: 'repeated string 6',
      init_err: 'RpcStatus 7',
    },
    RpcStatus: { code: 'int32 1', message: 'string 2' },

    ListNamespacesResponse: { namespaces: 'repeated Namespace 1' },
    Namespace: { name: 'string 1', labels: 'map<string, string> 2' },

    ListContainersResponse: { containers: 'repeated Container 1' },
    Container: {
      id: 'string 1',
      labels: 'map<string, string> 2',
      image: 'string 3',
      runtime: 'Runtime 4',
      spec: 'Any 5',
      snapshotter: 'string 6',
      snapshot_key: 'string 7',
      created_at: 'Timestamp 8',
      updated_at: 'Timestamp 9',
      extensions: 'map<string, Any> 10',
      sandbox: 'string 11',
    },
    Runtime: { name: 'string 1', options: 'Any 2' },

    ListTasksResponse: { tasks: 'repeated Task 1' },
    Task: {
      container_id: 'string 1',
      id: 'string 2',
      pid: 'uint32 3',
      status: 'TaskStatus 4',
      stdin: 'string 5',
      stdout: 'string 6',
      stderr: 'string 7',
      terminal: 'bool 8',
      exit_status: 'uint32 9',
      exited_at: 'Timestamp 10',
    },
    ListPidsRequest: { container_id: 'string 1' },
    ListPidsResponse: { processes: 'repeated TaskProcess 1' },
    TaskProcess: { pid: 'uint32 1', info: 'Any 2' },

    SnapshotsRequest: { snapshotter: 'string 1' },
    ListSnapshotsResponse: { info: 'repeated Snapshot 1' },
    Snapshot: {
      name: 'string 1',
      parent: 'string 2',
      kind: 'SnapshotKind 3',
      created_at: 'Timestamp 4',
      updated_at: 'Timestamp 5',
      labels: 'map<string, string> 6',
    },
    MountsRequest: { snapshotter: 'string 1', key: 'string 2' },
    MountsResponse: { mounts: 'repeated Mount 1' },
    Mount: { type: 'string 1', source: 'string 2', target: 'string 3', options: 'repeated string 4' },

    ListImagesResponse: { images: 'repeated Image 1' },
    Image: {
      name: 'string 1',
      labels: 'map<string, string> 2',
      target: 'Descriptor 3',
      created_at: 'Timestamp 7',
      updated_at: 'Timestamp 8',
    },
    Descriptor: {
      media_type: 'string 1',
      digest: 'string 2',
      size: 'int64 3',
      annotations: 'map<string, string> 5',
    },

    ListContentResponse: { info: 'repeated Content 1' },
    Content: {
      digest: 'string 1',
      size: 'int64 2',
      created_at: 'Timestamp 3',
      updated_at: 'Timestamp 4',
      labels: 'map<string, string> 5',
    },

    ListLeasesResponse: { leases: 'repeated Lease 1' },
    Lease: { id: 'string 1', created_at: 'Timestamp 2', labels: 'map<string, string> 3' },
  },
  services: {
    'containerd.services.version.v1.Version': { Version: 'Empty VersionResponse' },
    'containerd.services.introspection.v1.Introspection': {
      Server: 'Empty ServerResponse',
      Plugins: 'FilteredRequest ListPluginsResponse',
    },
    'containerd.services.namespaces.v1.Namespaces': { List: 'FilteredRequest ListNamespacesResponse' },
    'containerd.services.containers.v1.Containers': { List: 'FilteredRequest ListContainersResponse' },
    'containerd.services.tasks.v1.Tasks': {
      List: 'FilteredRequest ListTasksResponse',
      ListPids: 'ListPidsRequest ListPidsResponse',
    },
    'containerd.services.snapshots.v1.Snapshots': {
      List: 'SnapshotsRequest stream ListSnapshotsResponse',
      Mounts: 'MountsRequest MountsResponse',
    },
    'containerd.services.images.v1.Images': { List: 'FilteredRequest ListImagesResponse' },
    'containerd.services.content.v1.Content': { List: 'FilteredRequest stream ListContentResponse' },
    'containerd.services.leases.v1.Leases': { List: 'FilteredRequest ListLeasesResponse' },
  },
} as const;
