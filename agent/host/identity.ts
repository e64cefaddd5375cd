// placeholder types; owned by the process helper
export interface ContainerIdentity {
  readonly containerId?: string;
  readonly runtime?: 'docker' | 'containerd' | 'cri-o' | 'podman';
  readonly podUid?: string;
}
