-- Who gets a deduplication id. Needs shared/delete and what it needs.

-- Reads what a new job says of its deduplication: letters (e: extend, k: keep the last one, r: replace, s: reschedule),
-- ttl in ms or nothing, and the id.
local function read_claim(text)
  local letters, ttl, id = string.match(text, '^(%a*) (%d*) (.*)$')
  local claim = { id = id, ttl = tonumber(ttl) }
  for letter in string.gmatch(letters, '%a') do
    claim[letter] = true
  end
  return claim
end

--[[ Decides about a new job: whether it is created, and has the id then, or whether another job stands for it.
  job: id, name, data, opts; timestamp, delay and now in ms. Returns 'created' or 'replaced' and what is gone; or
  'deduplicated' or 'next' and the new job's id, then the owner, and whether that is due at another time now. ]]
local function decide(q, claim, job)
  local key, next_key = q.base .. 'de:' .. claim.id, q.base .. 'dn:' .. claim.id
  local ttl = not claim.k and claim.ttl or nil
  local function give(id)
    if ttl then
      redis.call('SET', key, id, 'PX', ttl)
    else
      redis.call('SET', key, id)
    end
  end
  local owner = redis.call('GET', key)
  if not owner then
    give(job.id)
    return 'created'
  end
  if claim.r and redis.call('ZREM', q.delayed, owner) == 1 then
    delete_jobs(q, { owner }, job.now, true)
    emit(q, 'removed', 'jobId', owner, 'prev', 'delayed')
    emit_and_trim(q, 'deduplicated', 'jobId', job.id, 'deduplicationId', claim.id, 'deduplicatedJobId', owner)
    redis.call('DEL', next_key)
    if ttl and not claim.e then
      redis.call('SET', key, job.id, 'KEEPTTL')
    else
      give(job.id)
    end
    return 'replaced ' .. owner
  end
  if redis.call('EXISTS', q.base .. owner) == 0 and redis.call('PTTL', key) == -1 then
    redis.call('DEL', next_key)
    give(job.id)
    return 'created'
  end
  emit_and_trim(q, 'deduplicated', 'jobId', owner, 'deduplicationId', claim.id, 'deduplicatedJobId', job.id)
  if claim.k and redis.call('LPOS', q.active, owner) then
    redis.call('DEL', next_key)
    redis.call('HSET', next_key, 'name', job.name, 'data', job.data, 'opts', job.opts, 'jid', job.id)
    redis.call('PERSIST', key)
    return 'next ' .. job.id, owner
  end
  if claim.e and not claim.r and claim.ttl then
    give(owner)
  end
  if claim.s and not claim.r and redis.call('ZREM', q.delayed, owner) == 1 then
    local due = job.timestamp + job.delay
    redis.call('HSET', q.base .. owner, 'delay', job.delay)
    redis.call('ZADD', q.delayed, delayed_score(q, due), owner)
    emit_and_trim(q, 'delayed', 'jobId', owner, 'delay', string.format('%.0f', due))
    return 'deduplicated', owner, true
  end
  return 'deduplicated', owner
end
