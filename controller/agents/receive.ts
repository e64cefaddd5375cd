// Bytes of a store that is no server of its own: taken here, by the grant in the URL, and answered in the store's terms.

import { describeError, type Logger } from '../../evidence/index.ts';
import { Problem } from '../http/problem.ts';
import { type Reply, wholeReply } from '../http/route.ts';
import type { Receive } from './routes.ts';

export const receiveBytes =
  (log: Logger): Receive =>
  async ({ receive }, grant, body, length): Promise<Reply> => {
    if (receive === undefined) throw new Problem(404, 'not-found', "this store takes its objects' bytes itself");
    const received = await receive(grant, body, length);
    if (received.error !== undefined && received.status >= 500)
      log.warn('bytes could not be taken', { status: received.status, error: describeError(received.error) });
    return wholeReply(received.body, received.headers, received.status);
  };
