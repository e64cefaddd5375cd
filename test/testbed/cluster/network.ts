// The cluster's network: a bridge in the control plane's place, a cable to each node, a route to each node's pods.
import type { Place } from './place.ts';

export const CONTROL_ADDRESS = '10.99.0.1';
export const SERVICES = '10.96.0.0/16';
/** The API server's service, the first address of SERVICES. */
export const API_SERVICE = '10.96.0.1';
export const DNS_SERVICE = '10.96.0.10';
export const PODS = '10.244.0.0/16';

export interface NodePlace {
  readonly name: string;
  readonly address: string;
  /** The network its pods are in. */
  readonly pods: string;
  readonly place: Place;
}

export function addressesOf(number: number): { readonly address: string; readonly pods: string } {
  return { address: `10.99.0.${10 + number}`, pods: `10.244.${number}.0/24` };
}

export async function connect(control: Place, nodes: readonly NodePlace[]): Promise<void> {
  const script = (place: Place, lines: readonly string[]): Promise<string> =>
    place.run('sh', ['-ec', lines.join('\n')]);
  await script(control, [
    'ip link set lo up',
    'ip link add br0 type bridge',
    `ip addr add ${CONTROL_ADDRESS}/24 dev br0`,
    'ip link set br0 up',
    ...nodes.map(({ address, pods }) => `ip route add ${pods} via ${address}`),
  ]);
  const cables = nodes.map(({ name, address, place }) =>
    script(place, [
      'ip link set lo up',
      `ip link add eth0 type veth peer name ${name} netns ${control.pid}`,
      `ip addr add ${address}/24 dev eth0`,
      'ip link set eth0 up',
      // a packet to a service's address needs a route before kube-proxy's rules turn it
      `ip route add default via ${CONTROL_ADDRESS}`,
      ...nodes.flatMap((other) => (other.name === name ? [] : [`ip route add ${other.pods} via ${other.address}`])),
      'echo 1 >/proc/sys/net/ipv4/ip_forward',
    ]),
  );
  await Promise.all(cables);
  await script(
    control,
    nodes.map(({ name }) => `ip link set ${name} master br0 up`),
  );
}
