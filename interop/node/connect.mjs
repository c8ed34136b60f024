// Where the server is: `OXMQ_INTEROP_URL`, redis://HOST:PORT/DATABASE.

const url = new URL(process.env.OXMQ_INTEROP_URL);

/** Connection options as BullMQ takes them. Blocking connections need `maxRetriesPerRequest: null`. */
export const connection = {
  host: url.hostname,
  port: Number(url.port),
  db: Number(url.pathname.slice(1) || 0),
  maxRetriesPerRequest: null,
};
