-- Deduplication: who stands for an id. Needs shared/queue, shared/place.

-- A job has finished: its id is free again, unless it is kept for a time. If a successor was stored, it is added.
local function dedup_finished(q, id, dedup, now)
  local key = q.base .. 'de:' .. dedup
  local ttl = redis.call('PTTL', key)
  if ttl == 0 or (ttl == -1 and redis.call('GET', key) == id) then
    redis.call('DEL', key)
  end
  local owner = redis.call('GET', key)
  if owner and owner ~= id then
    -- What is kept waits for that one.
    return
  end
  local next_key = q.base .. 'dn:' .. dedup
  local fields = redis.call('HMGET', next_key, 'name', 'data', 'opts', 'jid', 'pk', 'pd', 'pdk', 'rjk')
  if not fields[1] then
    return
  end
  local number = redis.call('INCR', q.id)
  local successor = fields[4] or string.format('%.0f', number)
  redis.call('DEL', next_key)
  if redis.call('EXISTS', q.base .. successor) == 1 then
    emit_and_trim(q, 'duplicated', 'jobId', successor)
    return
  end
  redis.call('SET', key, successor)
  local read, opts = pcall(cjson.decode, fields[3] or '{}')
  if not read or type(opts) ~= 'table' then
    opts = {}
  end
  local delay, priority = tonumber(opts.delay) or 0, tonumber(opts.priority) or 0
  local job = q.base .. successor
  redis.call('HSET', job, 'name', fields[1], 'data', fields[2] or '{}', 'opts', fields[3] or '{}',
    'timestamp', string.format('%.0f', now), 'delay', delay, 'priority', priority, 'deid', dedup)
  if fields[5] then
    redis.call('HSET', job, 'parentKey', fields[5])
    if fields[6] then redis.call('HSET', job, 'parent', fields[6]) end
  end
  if fields[8] then
    redis.call('HSET', job, 'rjk', fields[8])
  end
  emit(q, 'added', 'jobId', successor, 'name', fields[1])
  if delay > 0 then
    redis.call('ZADD', q.delayed, delayed_score(q, now + delay), successor)
    emit_and_trim(q, 'delayed', 'jobId', successor, 'delay', string.format('%.0f', now + delay))
    mark_next_due(q)
  else
    push_waiting(q, successor, priority, priority == 0 and opts.lifo == true)
    wake(q)
    emit_and_trim(q, 'waiting', 'jobId', successor)
  end
  if fields[7] then
    redis.call('SADD', fields[7], job)
  end
end

-- A job is removed by hand: its id is free again.
local function dedup_removed(q, id, dedup)
  local key = q.base .. 'de:' .. dedup
  if redis.call('GET', key) == id then
    redis.call('DEL', key, q.base .. 'dn:' .. dedup)
  end
end
