// A program: takes connections at one end and joins each to the other end: `relay.ts FROM TO`, each a path or HOST:PORT.
import { createServer, type NetConnectOpts, connect as open } from 'node:net';

const [from = '', to = ''] = process.argv.slice(2);

const server = createServer({ allowHalfOpen: true }, (taken) => {
  const made = open({ ...end(to), allowHalfOpen: true });
  // where one side breaks, so does the other
  taken.on('error', () => made.destroy()).on('close', () => made.destroySoon());
  made.on('error', () => taken.destroy()).on('close', () => taken.destroySoon());
  taken.pipe(made);
  made.pipe(taken);
});
server.listen(end(from), () => {
  const address = server.address();
  console.log(JSON.stringify(typeof address === 'string' ? { path: address } : address));
});

function end(text: string): NetConnectOpts {
  if (text.startsWith('/')) return { path: text };
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
}
