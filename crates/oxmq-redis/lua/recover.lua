--[[ recover: brings back the jobs of dead workers. Effective once in `interval` for the queue, whoever checks.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  now ms
  ARGV[2]  interval ms
  ARGV[3]  how often a job may stall before it fails
  ARGV[4]  the most to bring back
  RETURNS  the ids that were brought back
  ERRORS   none
  MOVES    active -> waiting                                EVENTS waiting (prev active), stalled
  COST     O(A), A = active jobs; what is brought back costs O(A) each

  A job is lost if its lock is gone and: it was in active at the last check and nobody has extended its lock since
  (as BullMQ has it); or it was taken by oxmq and its lease is over; or it was taken longer ago than the interval. ]]
local now, interval = tonumber(ARGV[1]), tonumber(ARGV[2])
local max_stalled, most = tonumber(ARGV[3]), tonumber(ARGV[4])
if redis.call('SET', q.stalled_check, ARGV[1], 'PX', math.max(interval, 1), 'NX') == false then
  return {}
end
redis.call('XTRIM', q.events, 'MAXLEN', '~', events_kept(q))
read_settings(q)
local suspects = {}
for _, id in ipairs(redis.call('SMEMBERS', q.stalled)) do
  suspects[id] = true
end
redis.call('DEL', q.stalled)
-- From the tail: those that were taken first.
local active = redis.call('LRANGE', q.active, 0, -1)
local recovered, still, is_active = {}, {}, {}
local leases, all = {}, redis.call('HGETALL', q.leases)
for i = 1, #all, 2 do
  leases[all[i]] = all[i + 1]
end
for to = #active, 1, -1000 do
  local from = math.max(to - 999, 1)
  local locks, ids = {}, {}
  for i = to, from, -1 do
    ids[#ids + 1] = active[i]
    locks[#locks + 1] = q.base .. active[i] .. ':lock'
  end
  local held = redis.call('MGET', unpack(locks))
  for i, id in ipairs(ids) do
    local lost, is_job = false, string.sub(id, 1, 2) ~= '0:'
    is_active[id] = true
    if not is_job then
      -- A marker of very old versions.
      redis.call('LREM', q.active, -1, id)
    elseif not held[i] then
      local ends = leases[id] and tonumber(string.match(leases[id], '^(%-?%d+) '))
      if ends then
        lost = ends <= now
      elseif suspects[id] then
        lost = true
      else
        local taken_at = tonumber(redis.call('HGET', q.base .. id, 'processedOn') or nil)
        lost = taken_at ~= nil and taken_at + interval < now
      end
    end
    if lost and #recovered < most then
      recovered[#recovered + 1] = id
    elseif is_job then
      still[#still + 1] = id
    end
  end
end
-- A job of ours was brought back by BullMQ, which does not know of leases, and has left active since.
local stale = {}
for id in pairs(leases) do
  if not is_active[id] then
    stale[#stale + 1] = id
  end
end
call_many('HDEL', q.leases, stale)
for _, id in ipairs(recovered) do
  local key = q.base .. id
  redis.call('LREM', q.active, -1, id)
  local stalls = redis.call('HINCRBY', key, 'stc', 1)
  local scheduler = redis.call('HGET', key, 'rjk')
  -- The job of a scheduler never fails for this: the schedule would end with it.
  if stalls > max_stalled and not (scheduler and redis.call('ZSCORE', q.base .. 'repeat', scheduler)) then
    redis.call('HSET', key, 'defa', 'job stalled more than allowable limit')
  end
  redis.call('RPUSH', q.wait, id)
  emit(q, 'waiting', 'jobId', id, 'prev', 'active')
  emit(q, 'stalled', 'jobId', id)
end
if #recovered > 0 then
  call_many('HDEL', q.leases, recovered)
  call_many('HDEL', q.cancels, recovered)
  wake(q)
end
if #still > 0 then
  call_many('SADD', q.stalled, still)
end
return recovered
