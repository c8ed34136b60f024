-- The plain endings of jobs that are known. Needs shared/queue, shared/job.

-- What the kind of such endings begins with.
local KNOWN = string.byte('+')

-- From this length on, it is looked up to which end of active a job is nearer.
local LONG = 64

-- As many endings are plain at most.
local PLAIN_MAX = 1000

-- When the job in the middle of active was taken, if that is long: older ones are nearer to its end. New jobs enter at its head.
local function middle_of_active(q)
  local running = redis.call('LLEN', q.active)
  if running > LONG then
    local half = math.floor(running / 2)
    local middle = redis.call('LRANGE', q.active, half, half)[1]
    return middle and tonumber(redis.call('HGET', q.base .. middle, 'processedOn'))
  end
end

-- Whether these ids are the last ones of a list, in whatever order.
local function are_last(ids, list)
  local count, last = #ids, redis.call('LRANGE', list, -#ids, -1)
  local i = 1
  while last[count + 1 - i] == ids[i] and i <= count do
    i = i + 1
  end
  if i > count then
    return true
  end
  local missing = {}
  for _, id in ipairs(ids) do
    missing[id] = true
  end
  for j = 1, count do
    local id = last[j]
    if not id or not missing[id] then
      return false
    end
    missing[id] = nil
  end
  return true
end

--[[ Ends jobs that have completed, are kept without a bound, are known to end plainly, and have nothing about them that is rare.
  It decides before it writes: nothing is changed if it gives nothing. heads_at: where the runs of endings begin in ARGV, of
  which the ids begin at ids_at. Returns the ids of those that have ended, then the answers if some were refused. Sets q.is_quiet.
  Tables are made of as many values as they will have, as one that grows costs as much as a command. ]]
local function finish_plain(q, now, count, heads_at, ids_at)
  for a = heads_at, ids_at - 1, 3 do
    if string.byte(ARGV[a + 1]) ~= KNOWN then
      return
    end
  end
  if count > PLAIN_MAX then
    return
  end
  local call, prefix = redis.call, q.base
  local texts_at = ids_at + count
  local ids = { unpack(ARGV, ids_at, texts_at - 1) }
  local texts = { unpack(ARGV, texts_at, texts_at + count - 1) }
  local keys, locks, couples = { unpack(ids) }, { unpack(ids) }, { unpack(ARGV, ids_at, texts_at + count - 1) }
  for i = 1, count do
    local key = prefix .. ids[i]
    keys[i], locks[i] = key, key .. ':lock'
    couples[2 * i - 1], couples[2 * i] = key .. ':dependencies', key .. ':unsuccessful'
  end
  local held, n = call('MGET', unpack(locks)), 0
  for a = heads_at, ids_at - 1, 3 do
    local token = ARGV[a]
    for i = n + 1, n + ARGV[a + 2] do
      if held[i] ~= token then
        return
      end
      n = i
    end
  end
  -- A job that is gone is not known.
  if call('EXISTS', unpack(keys)) < count or call('EXISTS', unpack(couples)) > 0 then
    return
  end
  local any_rare = call('EXISTS', q.cancels, q.stalled, q.delayed, q.limiter) > 0
  if any_rare and call('EXISTS', q.cancels) == 1 then
    return
  end
  q.is_quiet = not any_rare
  local answers
  if count > 1 and are_last(ids, q.active) then
    -- As jobs that end in the order in which they were taken.
    call('LTRIM', q.active, 0, -count - 1)
  else
    local middle_at = count > 1 and middle_of_active(q)
    local fates, ended = {}, {}
    local is_younger, run, left = count == 1, heads_at - 3, 0
    n = 0
    for i = 1, count do
      if left == 0 then
        run = run + 3
        left = tonumber(ARGV[run + 2])
        if middle_at then
          is_younger = tonumber(ARGV[run + 1]) > middle_at
        end
      end
      left = left - 1
      local id = ids[i]
      if call('LREM', q.active, is_younger and 1 or -1, id) == 1 then
        n = n + 1
        ids[n], texts[n], keys[n], locks[n] = id, texts[i], keys[i], locks[i]
        ended[id], fates[i] = true, 'completed'
      else
        answers = fates
        fates[i] = ended[id] and { 'unlocked', '' } or { 'state', state_of(q, id) or '' }
      end
    end
    for i = n + 1, count do
      ids[i] = nil
    end
    if n == 0 then
      return ids, answers
    end
  end
  for i = 1, n do
    local id, text = ids[i], texts[i]
    call('HSET', keys[i], 'returnvalue', text, 'finishedOn', now, 'atm', '1')
    if i > 1 then
      call('XADD', q.events, '*', 'event', 'completed', 'jobId', id, 'returnvalue', text, 'prev', 'active')
    else
      emit_and_trim(q, 'completed', 'jobId', id, 'returnvalue', text, 'prev', 'active')
    end
    couples[2 * i - 1], couples[2 * i] = now, id
  end
  call('ZADD', q.completed, unpack(couples, 1, 2 * n))
  call('DEL', unpack(locks, 1, n))
  if any_rare then
    call('SREM', q.stalled, unpack(ids))
  end
  return ids, answers
end
