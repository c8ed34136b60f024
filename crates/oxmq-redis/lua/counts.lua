--[[ counts: how many jobs are in each state, and whether the queue is held.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  now ms
  RETURNS  {active, completed, delayed, failed, prioritized, waiting, waiting-children, 1 if paused, limited until ms or
           false}
  ERRORS   none
  MOVES    none                                             EVENTS none
  COST     O(1) ]]
read_settings(q)
return {
  redis.call('LLEN', q.active), redis.call('ZCARD', q.completed), redis.call('ZCARD', q.delayed),
  redis.call('ZCARD', q.failed), redis.call('ZCARD', q.prioritized),
  redis.call('LLEN', q.wait) + redis.call('LLEN', q.paused), redis.call('ZCARD', q.waiting_children),
  q.is_paused and 1 or 0, limited_now(q, tonumber(ARGV[1])),
}
