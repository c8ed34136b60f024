--[[ metrics: what was counted of the jobs that ended in a state.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  'completed' | 'failed'
  ARGV[2]  how many points to pass over, from the newest on
  ARGV[3]  the most points to give
  RETURNS  {how many jobs, when the minute that runs began to be counted, how many jobs before that, points, how many
           points there are}; false for what is not there
  ERRORS   none
  MOVES    none                                             EVENTS none
  COST     O(offset + limit) ]]
local key = q.base .. 'metrics:' .. ARGV[1]
local counted = redis.call('HMGET', key, 'count', 'prevTS', 'prevCount')
local skip, limit = tonumber(ARGV[2]), tonumber(ARGV[3])
local points = {}
if limit > 0 then
  points = redis.call('LRANGE', key .. ':data', skip, skip + limit - 1)
end
return { counted[1], counted[2], counted[3], points, redis.call('LLEN', key .. ':data') }
