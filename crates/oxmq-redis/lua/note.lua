--[[ note: writes something down about a job, in any state.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  id
  ARGV[2]  'progress' | 'data' | 'log' | 'clear'
  ARGV[3]  the progress or data (JSON), or the line
  ARGV[4]  how many log lines are kept, '' for all
  RETURNS  how many log lines there are, 0 if it was not about the log; -1: there is no such job
  ERRORS   none
  MOVES    none                                             EVENTS progress
  COST     O(1), clearing O(lines removed) ]]
local key = q.base .. ARGV[1]
if redis.call('EXISTS', key) == 0 then
  return -1
end
local what = ARGV[2]
if what == 'progress' then
  redis.call('HSET', key, 'progress', ARGV[3])
  emit_and_trim(q, 'progress', 'jobId', ARGV[1], 'data', ARGV[3])
  return 0
end
if what == 'data' then
  redis.call('HSET', key, 'data', ARGV[3])
  return 0
end
local logs = key .. ':logs'
local keep = tonumber(ARGV[4])
if what == 'log' then
  redis.call('RPUSH', logs, ARGV[3])
end
if keep == 0 then
  redis.call('DEL', logs)
elseif keep then
  redis.call('LTRIM', logs, -keep, -1)
end
return redis.call('LLEN', logs)
