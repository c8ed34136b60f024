--[[ schedule: one schedule.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  id
  RETURNS  a view as in shared/schedule_view.lua; false if there is none
  ERRORS   none
  MOVES    none                                             EVENTS none
  COST     O(log N) ]]
local slot = redis.call('ZSCORE', q.base .. 'repeat', ARGV[1])
return slot and view_schedule(q, ARGV[1], slot)
