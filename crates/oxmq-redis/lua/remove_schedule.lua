--[[ remove_schedule: removes a schedule, and its current job if that is delayed.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  id
  ARGV[2]  now ms
  RETURNS  1 if it was there, else 0
  ERRORS   none
  MOVES    delayed -> (none)                                EVENTS removed (prev delayed)
  COST     O(log N) ]]
local id = ARGV[1]
local all = q.base .. 'repeat'
local score = redis.call('ZSCORE', all, id)
local hash = redis.call('DEL', q.base .. 'repeat:' .. id)
if not score then
  return hash
end
redis.call('ZREM', all, id)
local job = 'repeat:' .. id .. ':' .. string.format('%.0f', tonumber(score))
if redis.call('ZREM', q.delayed, job) == 1 then
  delete_jobs(q, { job }, tonumber(ARGV[2]))
  emit_and_trim(q, 'removed', 'jobId', job, 'prev', 'delayed')
end
return 1
