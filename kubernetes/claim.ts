// That we lead, until when we may say so, and who is told at once when it is over.

/** Our clocks at one moment. A paused machine's monotonic clock may stand still; its wall clock is set right later. */
export interface Moment {
  readonly monotonic: number;
  readonly wall: number;
}

export function momentOf(now: () => Date): Moment {
  return { monotonic: performance.now(), wall: now().getTime() };
}

export interface Ending {
  readonly reason: string;
  /** We ended it ourselves, so that others need not wait; with a note for them. */
  readonly deliberate: boolean;
  readonly note: string | undefined;
}

export interface Claim {
  /** Checked by the clocks at each call: it is true of this very moment, whatever timers have not run yet. */
  holds(): boolean;
  /** Milliseconds until it is lost if it is not renewed; also of one that was given up before. */
  remaining(): number;
  /** `sent`: before the request was sent that the server has granted. */
  renewed(sent: Moment): void;
  lose(reason: string): void;
  giveUp(reason: string, note?: string): void;
  /** Of several the first. */
  readonly ending: Ending | undefined;
  /** Aborts when it ends. */
  readonly signal: AbortSignal;
}

/** `milliseconds` from `granted`, when the request was sent: others may count from any moment after that. */
export function openClaim(granted: Moment, milliseconds: number, now: () => Date): Claim {
  const over = new AbortController();
  let last = granted;
  let ending: Ending | undefined;
  let timer: NodeJS.Timeout | undefined;

  const remaining = (): number => {
    const { monotonic, wall } = momentOf(now);
    // a wall clock that was set back says nothing; one that jumped ahead costs a renewal
    const passed = Math.max(monotonic - last.monotonic, wall - last.wall);
    return Math.max(0, milliseconds - passed);
  };
  const end = (what: Ending): void => {
    clearTimeout(timer);
    if (ending !== undefined) return;
    ending = what;
    over.abort(new Error(what.reason));
  };
  const lose = (reason: string): void => end({ reason, deliberate: false, note: undefined });
  const holds = (): boolean => {
    if (ending === undefined && remaining() === 0) lose('it could not be renewed in time');
    return ending === undefined;
  };
  /** At the moment it ends if nothing renews it; a timer may run a little early, then once more. */
  const arm = (): void => {
    clearTimeout(timer);
    if (holds()) timer = setTimeout(arm, Math.ceil(remaining()));
  };
  arm();
  return {
    holds,
    remaining,
    renewed(sent) {
      // what has ended does not begin again
      if (!holds()) return;
      last = sent;
      arm();
    },
    lose,
    giveUp: (reason, note) => end({ reason, deliberate: true, note }),
    get ending() {
      return ending;
    },
    signal: over.signal,
  };
}
