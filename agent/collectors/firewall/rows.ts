// What a row of firewall.jsonl is: ECS fields where ECS has the name, the kind and all else below `impound`.

/** Hands on a row: its kind ("nftables-rule", "route"), ECS fields, and facts that go below `impound`. */
export type Emit = (
  kind: string,
  ecs: Readonly<Record<string, unknown>>,
  facts: Readonly<Record<string, unknown>>,
) => void;

export interface Where {
  readonly netns: number;
  /** Undefined where the host's own namespace could not be told. */
  readonly netnsIsHost: boolean | undefined;
}

/** `kind` and place win over facts of the same name: those come from the node. */
export function firewallRow(
  where: Where,
  kind: string,
  ecs: Readonly<Record<string, unknown>>,
  facts: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return { ...ecs, impound: { ...facts, kind, netns: where.netns, netnsIsHost: where.netnsIsHost } };
}
