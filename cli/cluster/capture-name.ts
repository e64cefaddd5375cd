// What a capture may be called: as kubectl and the controller take it, 63 characters of a DNS name.
export const CAPTURE_NAME = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;
