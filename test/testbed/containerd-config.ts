// What each containerd of the testbed is told, and the images that are always in it.
import { join } from 'node:path';

/** The image that is always there; in a containerd alone, `ctr` brings it to each namespace it is used for. */
export const BUSYBOX_IMAGE = 'localhost/busybox:1';
const PAUSE_IMAGE = 'localhost/pause:1';

/** Reference and command: the testbed makes them itself, no registry is asked. */
export const IMAGES = [
  [PAUSE_IMAGE, ['/bin/sleep', '1000000']],
  [BUSYBOX_IMAGE, ['/bin/sh']],
] as const;

/**
 * All of it stands below `directory`; `networks` is the folder of its network plugins' configuration. Without
 * CAP_SYS_RESOURCE no process may have a lower OOM score: restrict_oom_score_adj.
 */
export function containerdConfig(directory: string, socket: string, networks: string): string {
  return `version = 2
root = "${join(directory, 'root')}"
state = "${join(directory, 'state')}"
[grpc]
  address = "${socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${join(directory, 'opt')}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${networks}"
`;
}
