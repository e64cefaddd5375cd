// Who bears a token, as the API server says.

/** An agent's pod, and the node that it runs on: by the token's own claims, not by what the agent says. */
export interface AgentIdentity {
  readonly username: string;
  readonly pod: string;
  readonly podUid: string;
  readonly node: string;
  readonly nodeUid: string;
}

export interface PersonIdentity {
  readonly username: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** All throw a Problem: 401 for a token that nobody vouches for, 403 for another's, 503 where the API server is silent. */
export interface Identities {
  /** A token of the agent's service account for the controller's audience, bound to a pod and its node. */
  agent(token: string | undefined): Promise<AgentIdentity>;
  person(token: string | undefined): Promise<PersonIdentity>;
  /** Whether `person` may `verb` nodecaptures of this name, or their subresource: SubjectAccessReview. */
  may(
    person: PersonIdentity,
    verb: string,
    subresource: string | undefined,
    name: string | undefined,
  ): Promise<boolean>;
}
