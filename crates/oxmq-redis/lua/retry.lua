--[[ retry: runs finished jobs again.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  'completed' | 'failed'
  ARGV[2]  id, or '' for the oldest ones
  ARGV[3]  '1': its tries are counted anew
  ARGV[4]  '1': its starts are counted anew
  ARGV[5]  only those that finished at or before, ms
  ARGV[6]  the most to move
  ARGV[7]  now ms
  RETURNS  how many; then 1 if there are more; {-1}: there is no such job; {-3, state}: it is in another one
  ERRORS   none
  MOVES    completed, failed -> waiting, prioritized; waiting, prioritized -> waiting-children (parents)
  EVENTS   waiting (prev its state); waiting-children (parents)
  COST     O(K log N), K = jobs moved ]]
local state = ARGV[1]
local set = q[state]
local ids, more = {}, 0
if ARGV[2] ~= '' then
  if redis.call('EXISTS', q.base .. ARGV[2]) == 0 then
    return { -1 }
  end
  if redis.call('ZREM', set, ARGV[2]) == 0 then
    return { -3, state_of(q, ARGV[2]) }
  end
  ids[1] = ARGV[2]
else
  local limit = tonumber(ARGV[6])
  ids = redis.call('ZRANGEBYSCORE', set, '-inf', ARGV[5], 'LIMIT', 0, limit + 1)
  if #ids > limit then
    ids[#ids] = nil
    more = 1
  end
  if #ids > 0 then
    call_many('ZREM', set, ids)
  end
end
read_settings(q)
for _, id in ipairs(ids) do
  local key = q.base .. id
  local job = redis.call('HMGET', key, 'priority', 'opts', 'parentKey')
  local forget = { 'finishedOn', 'processedOn', state == 'completed' and 'returnvalue' or 'failedReason' }
  if ARGV[3] == '1' then forget[#forget + 1] = 'atm' end
  if ARGV[4] == '1' then forget[#forget + 1] = 'ats' end
  redis.call('HDEL', key, unpack(forget))
  if job[3] then
    child_retried(key, job[3], state, tonumber(ARGV[7]))
  end
  local priority = tonumber(job[1]) or 0
  local front = false
  if priority == 0 then
    local read, opts = pcall(cjson.decode, job[2] or '{}')
    front = read and type(opts) == 'table' and opts.lifo == true
  end
  push_waiting(q, id, priority, front)
  emit_and_trim(q, 'waiting', 'jobId', id, 'prev', state)
end
if #ids > 0 then
  wake(q)
end
return { #ids, more }
