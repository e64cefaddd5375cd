// The one place that knows winston: readable lines on a terminal, JSON lines anywhere else, always on stderr.
import { createLogger, format, transports } from 'winston';
import type { Logger, LogLevel } from './evidence/index.ts';

export function createLog(level: LogLevel, stream: NodeJS.WriteStream = process.stderr): Logger {
  const readable = format.combine(
    format.timestamp({ format: 'HH:mm:ss.SSS' }),
    format.printf(({ timestamp, level: name, message, ...fields }) => {
      const rest = Object.keys(fields).length === 0 ? '' : ` ${JSON.stringify(fields)}`;
      return `${timestamp} ${name.padEnd(5)} ${message}${rest}`;
    }),
  );
  const log = createLogger({
    level,
    format: stream.isTTY ? readable : format.combine(format.timestamp(), format.json()),
    transports: [new transports.Stream({ stream })],
  });
  return {
    debug: (message, fields) => void log.debug(message, fields),
    info: (message, fields) => void log.info(message, fields),
    warn: (message, fields) => void log.warn(message, fields),
    error: (message, fields) => void log.error(message, fields),
  };
}
