// How every client of AWS is set up here: no request may hang, where the SDK itself would wait for ever.

/** Longer than any answer of these services takes, short enough that a capture notices. */
const CONNECTION_MILLISECONDS = 3000;
const REQUEST_MILLISECONDS = 10_000;

/**
 * For a client's constructor. Region, endpoints (AWS_ENDPOINT_URL_KMS …), credentials, retries (AWS_MAX_ATTEMPTS) are
 * left to the SDK's own environment and files.
 */
export function clientSettings(region: string | undefined) {
  const requestHandler = {
    connectionTimeout: CONNECTION_MILLISECONDS,
    requestTimeout: REQUEST_MILLISECONDS,
    throwOnRequestTimeout: true,
  };
  return region === undefined ? { requestHandler } : { requestHandler, region };
}
