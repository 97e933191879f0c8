// The worker people build themselves: jobs from graphile-worker, requests by
// undici, one row of log for each.  Tuned: jobs are fetched ahead and completed
// in batches, the log is written in batches, connections stay open.
//
// Environment: URL, CA (a file) and what names the database (PGHOST, ...).
// Says "ready" when it takes jobs.

const { createHmac } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { Logger, run } = require('graphile-worker');
const pg = require('pg');
const undici = require('undici');

const secret = 'whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=';
const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
const url = new URL(process.env.URL);
const database = new pg.Pool({ max: 16 });
database.on('error', console.error);
database.on('connect', (client) => client.on('error', console.error));
const receiver = new undici.Pool(url.origin, {
  connections: 64,
  connect: { ca: readFileSync(process.env.CA) },
  headersTimeout: 30000,
  bodyTimeout: 30000,
});

function sign(id, body) {
  const now = Math.floor(Date.now() / 1000);
  const own = createHmac('sha256', secret).update(body).digest('hex');
  const standard = createHmac('sha256', key)
    .update(`${id}.${now}.${body}`).digest('base64');
  return {
    'X-Jasper-Signature': `sha256=${own}`,
    'webhook-id': String(id),
    'webhook-timestamp': String(now),
    'webhook-signature': `v1,${standard}`,
  };
}

// What many jobs ask for within a few milliseconds becomes one statement.
function batched(pause, runTogether) {
  let waiting = [];

  async function runAll() {
    const batch = waiting;
    waiting = [];
    try {
      const results = await runTogether(batch.map((entry) => entry.item));
      batch.forEach((entry, i) => entry.resolve(results?.[i]));
    } catch (error) {
      batch.forEach((entry) => entry.reject(error));
    }
  }

  return (item) => {
    if (waiting.length === 0)
      setTimeout(runAll, pause);
    return new Promise((resolve, reject) => waiting.push({ item, resolve, reject }));
  };
}

async function read(id) {
  const { rows } = await database.query({
    name: 'read',
    text: 'select event_type, payload from outbox where id = $1',
    values: [id],
  });
  return rows[0];
}

const log = batched(5, async (entries) => {
  await database.query({
    name: 'log',
    text: `insert into delivery_log
             (event_id, attempt, status, error, response_body, started_at, duration)
           select * from unnest($1::bigint[], $2::int[], $3::int[], $4::text[],
                                $5::text[], $6::timestamptz[], $7::interval[])`,
    values: [0, 1, 2, 3, 4, 5, 6].map((i) => entries.map((entry) => entry[i])),
  });
});

async function deliver({ id }, { job }) {
  const event = await read(id);
  const started = Date.now();
  let status = null;
  let text = null;
  let failure = null;

  try {
    const response = await receiver.request({
      path: url.pathname,
      method: 'POST',
      body: event.payload,
      headers: {
        'Content-Type': 'application/json',
        'X-Jasper-Event': event.event_type,
        'X-Jasper-Event-Id': String(id),
        'X-Jasper-Attempt': String(job.attempts),
        ...sign(id, event.payload),
      },
    });
    status = response.statusCode;
    text = await response.body.text();
  } catch (error) {
    failure = String(error);
  }
  await log([id, job.attempts, status, failure, text,
    new Date(started), `${Date.now() - started} ms`]);
  if (status === null || status < 200 || status > 299)
    throw new Error(failure ?? `status ${status}`);
}

async function main() {
  await run({
    logger: new Logger(() => (level, message) => {
      if (level === 'error')
        console.error(message);
    }),
    pgPool: database,
    taskList: { deliver },
    noHandleSignals: true,
    preset: {
      worker: {
        concurrentJobs: 200,
        localQueue: { size: 500 },
        completeJobBatchDelay: 5,
        failJobBatchDelay: 5,
      },
    },
  });
  console.log('ready');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
