// Lines of /proc/PID/status, proc_pid_status(5).

/** Values by name, trimmed. */
export function parseStatus(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return fields;
}

/** Real, effective and saved ids, and the supplementary groups. */
export function ids(status: ReadonlyMap<string, string>): Record<string, unknown> {
  const users = status.get('Uid')?.split(/\s+/) ?? [];
  const groups = status.get('Gid')?.split(/\s+/) ?? [];
  const supplemental =
    status
      .get('Groups')
      ?.split(/\s+/)
      .filter((id) => id !== '') ?? [];
  return {
    user: { id: users[1] },
    real_user: { id: users[0] },
    saved_user: { id: users[2] },
    group: { id: groups[1] },
    real_group: { id: groups[0] },
    saved_group: { id: groups[2] },
    supplemental_groups: supplemental.map((id) => ({ id })),
  };
}
