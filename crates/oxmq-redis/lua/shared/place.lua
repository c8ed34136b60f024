-- Where jobs are put. Needs shared/queue, shared/job.

-- The score of a job that is due at `due` ms: behind those of the same millisecond.
local function delayed_score(q, due)
  local from, to = due * 4096, due * 4096 + 4095
  local last = redis.call('ZREVRANGEBYSCORE', q.delayed, to, from, 'WITHSCORES', 'LIMIT', 0, 1)
  if last[2] then
    return math.min(tonumber(last[2]) + 1, to)
  end
  return from
end

-- Puts a job behind its equals of the same priority.
local function push_prioritized(q, id, priority)
  local n = redis.call('INCR', q.pc)
  redis.call('ZADD', q.prioritized, priority * 4294967296 + n % 4294967296, id)
end

-- Puts a job to those that can be taken, by its priority. At the front: before its equals (of which only the wait
-- list wakes anybody, as BullMQ has it, so the caller wakes).
local function push_waiting(q, id, priority, front)
  if priority > 0 or priority < 0 then
    if front then
      redis.call('ZADD', q.prioritized, priority * 4294967296, id)
    else
      push_prioritized(q, id, priority)
    end
    return 'prioritized'
  end
  redis.call(front and 'RPUSH' or 'LPUSH', q.wait, id)
  return 'waiting'
end

-- Lets up to 1,000 delayed jobs run that are due at `now`. Needs read_settings.
local function promote_due(q, now)
  local ids = redis.call('ZRANGEBYSCORE', q.delayed, 0, (now + 1) * 4096 - 1, 'LIMIT', 0, 1000)
  if #ids == 0 then
    return
  end
  call_many('ZREM', q.delayed, ids)
  for _, id in ipairs(ids) do
    local key = q.base .. id
    local job = redis.call('HMGET', key, 'priority', 'name')
    push_waiting(q, id, tonumber(job[1]) or 0, false)
    emit(q, 'waiting', 'jobId', id, 'prev', 'delayed')
    if job[2] then
      redis.call('HSET', key, 'delay', 0)
    end
  end
  wake(q)
end
