// What npm's cron-parser says about cron expressions, as JSON lines: the cases that our own cron module is held to.
//
//   node cron.mjs fixture > ../../crates/oxmq-core/tests/fixtures/cron.jsonl     the fixed cases
//   node cron.mjs random SEED COUNT [all]                                        as many as one likes; `all`: every zone
//   node cron.mjs years PATTERN ZONE..                                           all of three years in each zone
//
// A case: {pattern, seed?, tz, from, next: [ms, ..], error?}. `next` are the times after `from`, at most six; `error` is
// what cron-parser said when it refused the expression (then there are none) or gave up its search.

import { CronExpressionParser } from 'cron-parser';
import { DateTime } from 'luxon';

const RUNS = 6;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const YEARS = 3;

const ZONES = [
  'UTC', 'Europe/Stockholm', 'Europe/London', 'Europe/Dublin', 'Europe/Lisbon', 'Europe/Kyiv', 'Atlantic/Azores',
  'America/New_York', 'America/Chicago', 'America/Denver', 'America/Los_Angeles', 'America/Anchorage', 'America/St_Johns',
  'America/Halifax', 'America/Santiago', 'America/Havana', 'America/Nuuk', 'America/Sao_Paulo', 'America/Phoenix',
  'America/Port-au-Prince', 'America/Miquelon', 'Africa/Cairo', 'Africa/Casablanca', 'Africa/Lagos', 'Antarctica/Troll',
  'Antarctica/McMurdo', 'Asia/Beirut', 'Asia/Jerusalem', 'Asia/Kolkata', 'Asia/Kathmandu', 'Asia/Tehran', 'Asia/Tokyo',
  'Australia/Sydney', 'Australia/Adelaide', 'Australia/Lord_Howe', 'Australia/Eucla', 'Pacific/Auckland', 'Pacific/Chatham',
  'Pacific/Norfolk', 'Pacific/Apia', 'Pacific/Kiritimati', 'UTC+3', 'UTC-5:30',
];

/** Asks cron-parser for up to `count` times. */
function ask({ pattern, seed, tz, from }, count = RUNS) {
  const next = [];
  try {
    const expression = CronExpressionParser.parse(pattern, { currentDate: new Date(from), tz, hashSeed: seed });
    while (next.length < count) next.push(expression.next().getTime());
  } catch (error) {
    return { next, error: error.message };
  }
  return { next };
}

const print = case_ => process.stdout.write(JSON.stringify(case_) + '\n');

/** Numbers from 0 to 1 that depend on the seed alone (the generator is splitmix32). */
function chance(seed) {
  return () => {
    seed = (seed + 0x9e3779b9) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 4294967296;
  };
}

const offset = (zone, ms) => DateTime.fromMillis(ms, { zone }).offset;

/** When the clocks of a zone change between two times. */
const changes = new Map();
function changesOf(zone) {
  if (!changes.has(zone)) {
    const found = [];
    const end = Date.UTC(2036, 0);
    for (let at = Date.UTC(2015, 0); at < end; at += 14 * DAY) {
      let [low, high] = [at, at + 14 * DAY];
      if (offset(zone, low) === offset(zone, high)) continue;
      while (high - low > 1000) {
        const middle = Math.floor((low + high) / 2000) * 1000;
        if (offset(zone, middle) === offset(zone, low)) low = middle;
        else high = middle;
      }
      found.push(high);
    }
    changes.set(zone, found);
  }
  return changes.get(zone);
}

/** Whether the clocks show midnight before or after a change. */
const atMidnight = (zone, at) => [at - 1, at].some(ms => (at / 60_000 + offset(zone, ms)) % 1440 === 0);

/**
 * How long before a change of the clocks cron-parser's answer depends on when it is asked. At midnight: on the day before, as it steps from
 * day to day; if a month begins with it, in the month before, too, as it steps from the middle of one month to the beginning of the next.
 */
function unsettled(zone, at) {
  if (!atMidnight(zone, at)) return 1000;
  return DateTime.fromMillis(at, { zone }).day === 1 ? 32 * DAY : 30 * HOUR;
}

const FIELDS = [
  { min: 0, max: 59 }, { min: 0, max: 59 }, { min: 0, max: 23 }, { min: 1, max: 31 },
  { min: 1, max: 12, names: 'JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC'.split(' ') },
  { min: 0, max: 7, names: 'SUN MON TUE WED THU FRI SAT'.split(' ') },
];

/** What both refuse, wherever it stands. */
const WRONG = ['60', '99', '5-1', '1,1', '*/0', '*/x', 'x', 'W', '15W', 'LW', 'L-3', '1,,2', ',', '-1', '1-', '/5', '1/', '1/2/3',
  '+1', '1.5', '0x5', 'MONDAY', '1#0', '1#6', '1#', '1,2#1', '1-3#2', 'H()', 'H(5-3)', 'H/0', 'H(70-80)', '*,1', 'l', '1;2'];

/** Draws expressions, zones and times. */
function* draw(seed, count, zones) {
  const random = chance(seed);
  const below = n => Math.floor(random() * n);
  const one = list => list[below(list.length)];
  const spelled = (field, value) => {
    const name = field.names?.[value - field.min];
    if (!name || random() < 0.6) return random() < 0.03 ? `0${value}` : `${value}`;
    return random() < 0.5 ? name : name.toLowerCase();
  };
  const value = field => field.min + below(field.max - field.min + 1);
  const hashed = field => {
    const from = value(field);
    const span = random() < 0.5 ? '' : `(${from}-${from + below(field.max - from + 3)})`;
    return `H${span}${random() < 0.5 ? '' : `/${1 + below(field.max + 5)}`}`;
  };
  const item = (field, index) => {
    const kind = random();
    if (kind < 0.5) return spelled(field, value(field));
    if (kind < 0.75) {
      const from = value(field);
      const to = from + below(field.max - from + 1);
      return `${spelled(field, from)}-${spelled(field, to)}${random() < 0.4 ? `/${1 + below(field.max)}` : ''}`;
    }
    if (kind < 0.85) return `${one(['*', '*', '?'])}/${1 + below(random() < 0.1 ? 99 : field.max)}`;
    if (kind < 0.92) return `${spelled(field, value(field))}/${1 + below(field.max)}`;
    if (index === 3) return 'L';
    if (index === 5) return random() < 0.5 ? `${value(field)}L` : `${one(field.names)}L`;
    return spelled(field, value(field));
  };
  const field = (index, hash) => {
    const field = FIELDS[index];
    // The interesting hours are those around a change.
    if (index === 2 && random() < 0.3) return one(['0', '1', '2', '3', '1,2', '1-3', '2,3', '0-2', '*/2', '1/2', '*', '*', '0-23', '23', '22,23', '0,23']);
    if (index < 2 && random() < 0.4) return one(['0', '0', '30', '*/15', '*/20', '*/30', '0,45']);
    if (hash && random() < 0.4) return hashed(field);
    const kind = random();
    if (kind < (index < 3 ? 0.2 : 0.5)) return random() < 0.8 ? '*' : '?';
    if (index === 5 && kind < 0.6) return `${random() < 0.5 ? below(8) : one(field.names)}#${1 + below(5)}`;
    if (kind < 0.85) return item(field, index);
    return Array.from({ length: 2 + below(3) }, () => item(field, index)).join(',');
  };
  for (let made = 0; made < count; made += 1) {
    const hash = random() < 0.12;
    const length = random() < 0.3 ? 6 : random() < 0.9 ? 5 : below(5);
    const fields = Array.from({ length }, (_, at) => field(at + 6 - length, hash));
    // The second is where the runs are dense; six of them must reach over a change.
    if (length === 6 && random() < 0.7) fields[0] = '0';
    if (length > 0 && random() < 0.04) fields[below(length)] = one(WRONG);
    let pattern = fields.join(random() < 0.05 ? '  ' : ' ');
    if (random() < 0.02) pattern = one(['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@hourly', '@minutely', '@secondly', '@weekdays', '@weekends', '@midnight', '@reboot', '@DAILY', '@daily ', '@every 5m', `${pattern} * *`]);
    const tz = random() < 0.005 ? one(['Mars/Olympus', '+03:00', 'Z', '']) : one(zones);
    const changing = ['Mars/Olympus', '+03:00', 'Z', ''].includes(tz) ? [] : changesOf(tz);
    let from = Date.UTC(2016, 0) + below(18 * 365) * DAY + below(DAY);
    if (changing.length && random() < 0.7) from = one(changing) - HOUR - below(random() < 0.5 ? 4 * HOUR : 3 * DAY);
    // Not in the hours after a change either.
    const near = changing.find(at => from >= at - unsettled(tz, at) && from < at + 3 * HOUR);
    if (near) from = near - unsettled(tz, near) - 30 * HOUR;
    if (random() < 0.5) from = Math.floor(from / 1000) * 1000;
    const case_ = { pattern, ...(hash && { seed: `queue ${below(1e6)}${random() < 0.2 ? ' é😀' : ''}` }), tz, from };
    const answer = ask(case_);
    if (answer.error?.includes('duplicate') && random() < 0.8) made -= 1;
    else yield { ...case_, ...answer };
  }
}

/** The table: everything that the syntax has, and what it has not, at one time in UTC. */
const TABLE = ['', '*', '* * * * *', '* * * * * *', '? ? ? ? ? ?', '*/15 * * * *', '5/20 * * * *', '1-5/2 * * * *', '*/90 * * * *', '5/90 * * * *',
  '0-59 0-23 1-31 1-12 0-7', '1,3-5,*/20 * * * *', '0 0 12 * * *', '0 9 * * 1-5', '0 0 29 2 *', '0 0 L * *', '0 0 1,L * *', '0 0 31,L * *',
  '0 0 * * 5L', '0 0 * * FRIL', '0 0 * * friL', '0 0 * * 1L,3L', '0 0 * * 1,5L', '0 0 * * 5,5L', '0 0 * * 7L', '0 0 * * 0L,7L', '0 0 * * 1#2',
  '0 0 * * 1#5', '0 0 * * MON#1', '0 0 * * 7#1', '0 0 * * *#2', '0 0 * * 01#02', '0 0 * * MON,wed', '0 0 1 JAN *', '0 0 1 jan,JUL *', '0 0 ? * MON',
  '0 0 13 * 5', '0 0 */2 * 1', '0 0 1-31 * 1', '0 0 *,L * 1', '0 0 * * 7', '0 0 * * 0-7', '0 0 * * 5-7', '0 0 * * 1-7/2', '0 0 * * */7', '0 0 * * SUN/2',
  '0 0 * * MON-5', '0 0 31 4 1', '0 0 31 4 */1', '0 0 1,31 2 *', '0 0 31,L 4 *', '0 0 30 2,4 *', '0 0 30 2 5L', '0 0 * 2 1#5', '0 0 29 2 1#5', '5', '4 5',
  '3 4 5', '2 3 4 5', ' 1 2 3 4 5 ', '1\t2\n3 4 5', '001 * * * *', '*/99999999999 * * * *', '@yearly', '@annually', '@monthly', '@weekly', '@daily',
  '@hourly', '@minutely', '@secondly', '@weekdays', '@weekends', 'H H * * *', 'H H H H H H', 'H/15 * * * *', 'H(10-40)/7 * * * *', '* * H,L * *', '0 0 * * H#2',
  '0 0 * * HL', '0 0 * * H(5-7)', '0 H(20-30) * * *', 'H/90 * * * *', '* * H/40 * *', '0 0 H(1-7) H/3 *', '*/0 * * * *', '60 * * * *', '0 24 * * *',
  '0 0 0 * *', '0 0 32 * *', '0 0 * 13 *', '0 0 * 0 *', '0 0 * * 8', '0 0 31 2 *', '0 0 30,31 2 *', '0 0 31 4 ?', '0 0 31 apr *', '0 0 31 4,6 *', '0 0 30-31 2 *',
  '1,1 * * * *', '1-5,5 * * * *', '*,1 * * * *', '0 0 * * 0,7', '0 0 * * 5-7,0', '0 0 * * MON,1', '0 0 L,L * *', '0 0 * * 5L,5L', '1,,2 * * * *', '1, * * * *',
  '59-5 * * * *', '0 0 * * FRI-MON', '0 0 * * 6-1', '1/2/3 * * * *', '5/ * * * *', '/5 * * * *', '1- * * * *', '-1 * * * *', '+1 * * * *', '1.5 * * * *',
  '0x5 * * * *', 'a * * * *', '0 0 * foo *', '0 0 * * MONDAY', '0 0 * january *', 'MON * * * *', '0 0 15W * *', '0 0 LW * *', '0 0 L-3 * *', '0 0 l * *',
  '0 0 * * L', '0 0 * * 5l', '0 0 * * 1#0', '0 0 * * 1#6', '0 0 * * 1#', '0 0 * * #1', '0 0 * * 1,2#1', '0 0 * * 1-3#2', '0 0 * * 1#2/2', '0 0 * * 8#1',
  '1#2 * * * *', 'L * * * *', '@midnight', '@reboot', '@Daily', ' @daily', '@daily ', '@', '0 0 0 1 1 ? 2025', 'h * * * *', 'H() * * * *', 'H(5) * * * *',
  'H(5-3) * * * *', 'H(70-80) * * * *', 'H/0 * * * *', '1,H,H * * * *'];

/** Expressions around a change of the clocks. */
const CHANGING = ['0 30 2 * * *', '0 0 2 * * *', '0 0 3 * * *', '0 30 1 * * *', '0 30 1,2,3 * * *', '0 0 * * * *', '0 */30 * * * *', '0 30 0 * * *', '0 0 0 * * *',
  '0 */20 2 * * *', '0 */20 1 * * *', '0 15,45 1-3 * * *', '0 45 23 * * *', '0 30 2 31 3 *', '0 30 2 * * 0', '59 59 1 * * *'];

function fixture() {
  const from = Date.parse('2024-02-27T10:20:30.500Z');
  for (const pattern of TABLE) {
    const case_ = { pattern, ...(pattern.includes('H') && { seed: 'seed' }), tz: 'UTC', from };
    print({ ...case_, ...ask(case_) });
  }
  for (const tz of ['Europe/Stockholm', 'America/New_York', 'America/Havana', 'America/Santiago', 'America/Nuuk', 'Africa/Cairo', 'Asia/Beirut', 'Australia/Sydney',
    'Australia/Lord_Howe', 'Pacific/Chatham', 'Antarctica/Troll']) {
    for (const change of changesOf(tz).filter(at => at > Date.UTC(2024, 0) && at < Date.UTC(2025, 0))) {
      for (const pattern of CHANGING) {
        const case_ = { pattern, tz, from: change - 5 * HOUR };
        print({ ...case_, ...ask(case_) });
      }
    }
  }
  for (const pattern of CHANGING) {
    // Apia had no 30 December 2011.
    const case_ = { pattern, tz: 'Pacific/Apia', from: Date.parse('2011-12-29T20:00:00Z') };
    print({ ...case_, ...ask(case_) });
  }
  for (const case_ of draw(20260101, 1200, ZONES)) print(case_);
}

const [mode, ...args] = process.argv.slice(2);
if (mode === 'fixture') fixture();
else if (mode === 'random') {
  const zones = args[2] === 'all' ? Intl.supportedValuesOf('timeZone') : ZONES;
  for (const case_ of draw(Number(args[0]), Number(args[1]), zones)) print(case_);
} else if (mode === 'years') {
  // All runs of three years for each zone of the arguments after the pattern.
  const [pattern, ...zones] = args;
  const [from, until] = [Date.UTC(2024, 0), Date.UTC(2024 + YEARS, 0)];
  for (const tz of zones) {
    const expression = CronExpressionParser.parse(pattern, { currentDate: new Date(from), endDate: new Date(until), tz });
    const next = [];
    while (expression.hasNext()) next.push(expression.next().getTime());
    print({ pattern, tz, from, until, next });
  }
} else {
  console.error('usage: node cron.mjs fixture | random SEED COUNT [all] | years PATTERN ZONE..');
  process.exitCode = 2;
}
