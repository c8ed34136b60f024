--[[ pause: nothing is taken until the queue is resumed.
  KEYS     those that stand for the queue's (shared/keys.lua)
  RETURNS  nothing
  ERRORS   none
  MOVES    none                                             EVENTS paused
  COST     O(1) ]]
redis.call('HSET', q.meta, 'paused', 1)
redis.call('DEL', q.marker)
emit(q, 'paused')
