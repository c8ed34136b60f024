// What of the recordings cannot be run through the door, and why: whole scenarios, or steps of one.

const BY_HAND = 'it changes keys of Redis by hand; no store has a call for that';

export const LEFT_OUT = {
  'A-12': { reason: `the list of a paused queue of BullMQ 5 is made by hand: ${BY_HAND}` },
  'A-47': {
    steps: [
      'complete, not active: lock and fields are already gone',
      'complete, job missing',
      'moveToWait, job missing',
      'moveToDelayed, job missing',
    ],
    reason: BY_HAND,
  },
  'A-52': { reason: 'the marker by which Redis wakes workers is a key, which no program sees' },
  'A-58': { steps: ['names and their last command'], reason: 'the names and commands of connections to Redis' },
  'B-D09': { reason: `a job is lost by hand: ${BY_HAND}` },
  'B-S08': { steps: ['pattern slot job already completed', 'upsert for the same millis'], reason: BY_HAND },
  'B-S10': { steps: ['legacy entry in the repeat zset'], reason: BY_HAND },
  'B-S13': { steps: ['getJobSchedulers deletes an entry whose hash is gone'], reason: BY_HAND },
};
