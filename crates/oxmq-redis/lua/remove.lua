--[[ remove: removes a job and all that belongs to it, unless somebody holds it.
  KEYS     the queue's key list (shared/keys.lua)
  ARGV[1]  now ms
  ARGV[2]  id
  RETURNS  1: it is gone; 0: it is held; -1: there is no such job; -8: it is the current job
           of a schedule, and has not ended
  ERRORS   none
  MOVES    any -> (none)                                    EVENTS removed (prev its state)
  COST     O(N), N = jobs in the list it is in ]]
local id = ARGV[2]
local state = state_of(q, id)
if redis.call('EXISTS', q.base .. id) == 0 and not state then
  return -1
end
local token, ends = holder_of(q, id)
if redis.call('EXISTS', q.base .. id .. ':lock') == 1
  or (state == 'active' and token and ends and ends > tonumber(ARGV[1])) then
  return 0
end
if state ~= 'completed' and state ~= 'failed' and is_next_run(q, id) then
  return -8
end
leave(q, id, state)
delete_jobs(q, { id })
redis.call('HDEL', q.leases, id)
redis.call('HDEL', q.cancels, id)
emit_and_trim(q, 'removed', 'jobId', id, 'prev', state or 'unknown')
return 1
