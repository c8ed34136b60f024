--[[ cancel: fails a job that has not started, or asks its worker to stop it.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  now ms
  ARGV[2]  id
  ARGV[3]  reason
  RETURNS  {'missing'} | {'cancelled'} | {'finished', state} | {'requested', worker} | {'unreachable', worker or false} |
           {'nowhere'} | {'scheduled'}: the next run of a job scheduler, which would end with it
  ERRORS   none
  MOVES    waiting, prioritized, delayed, waiting-children -> failed; waiting-children -> waiting, prioritized, delayed (parents)
  EVENTS   failed (prev its state); waiting, delayed (parents)
  COST     O(N), N = jobs in the list it is in ]]
local id, reason = ARGV[2], ARGV[3]
local key = q.base .. id
if redis.call('EXISTS', key) == 0 then
  return { 'missing' }
end
local state = state_of(q, id)
if not state then
  return { 'nowhere' }
end
if state == 'completed' or state == 'failed' then
  return { 'finished', state }
end
if state == 'active' then
  local token = holder_of(q, id)
  local worker = token and string.match(token, '^(.*):[^:]*$')
  local known = worker and redis.call('HGET', q.workers, worker)
  if known then
    local ends, info = string.match(known, '^(%-?%d+) (.*)$')
    if tonumber(ends) > tonumber(ARGV[1]) then
      local asked_of = string.match(redis.call('HGET', q.cancels, id) or '', '^([^\n]*)\n')
      if asked_of ~= token then
        redis.call('HSET', q.cancels, id, token .. '\n' .. reason)
        redis.call('EXPIRE', q.cancels, 86400)
      end
      redis.call('PUBLISH', q.cancels, worker)
      local name = cjson.decode(info).name
      return { 'requested', type(name) == 'string' and name or worker }
    end
  end
  return { 'unreachable', redis.call('HGET', key, 'pb') }
end
if is_next_run(q, id) then
  return { 'scheduled' }
end
leave(q, id, state)
local text = 'cancelled: ' .. reason
redis.call('HSET', key, 'failedReason', text, 'finishedOn', ARGV[1])
redis.call('HDEL', key, 'defa')
local ties = redis.call('HMGET', key, 'deid', 'parentKey', 'parent')
read_settings(q)
if ties[1] then
  dedup_finished(q, id, ties[1], tonumber(ARGV[1]))
end
if ties[2] then
  child_failed(key, ties[2], ties[3], text, tonumber(ARGV[1]))
end
redis.call('ZADD', q.failed, ARGV[1], id)
local prev = (state == 'wait' or state == 'paused') and 'waiting' or state
emit(q, 'failed', 'jobId', id, 'failedReason', text, 'prev', prev)
return { 'cancelled' }
