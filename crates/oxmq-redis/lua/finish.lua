--[[ finish: writes the endings of jobs, in order, and may take the next ones.
  KEYS     the queue's key list (shared/keys.lua)
  ARGV[1]  now ms
  ARGV[2]  how many endings
  ARGV[3]  '1' if a demand follows
  ARGV[4..] twelve per ending: id, token, '1' if it heeds a request to cancel, kind ('completed' | 'failed' | 'retry' |
           'delayed' (again later) | 'postponed' | 'returned' | 'await'), text (result as JSON, reason, or the key of the one child
           to wait for), stacks (JSON) or '', attempts, due ms
           or '', kept count or '', kept age ms or '', most removed for their age, '1' if the job is near active's head
  then     a demand as in take.lua
  RETURNS  {answers, taken or false}; an answer is {state or 'gone'}, or {'refused', why, text}: why is 'missing' |
           'unlocked' | 'locked' | 'state' | 'cancel' | 'children' | 'failed-children'
  ERRORS   none
  MOVES    active -> completed, failed, waiting, prioritized, delayed, waiting-children, (none); waiting-children ->
           waiting, prioritized, delayed (parents); then those of take
  EVENTS   completed, failed, retries-exhausted, waiting, delayed, waiting-children; then those of take, or drained
  COST     O(K (log N + L)), K = endings, L = how far a job is from its end of active ]]
local now = tonumber(ARGV[1])
local count = tonumber(ARGV[2])
local answers = {}
local ended = false
local any_waits, any_delayed = false, false

if count > 0 then
  read_settings(q)
  local ids, locks = {}, {}
  for i = 1, count do
    ids[i] = ARGV[4 + (i - 1) * 12]
    locks[i] = q.base .. ids[i] .. ':lock'
  end
  local held, asked = {}, {}
  for from = 1, count, 1000 do
    local to = math.min(from + 999, count)
    local values = redis.call('MGET', unpack(locks, from, to))
    for i = from, to do held[i] = values[i - from + 1] end
  end
  local has_requests = redis.call('EXISTS', q.cancels) == 1
  redis.call('XTRIM', q.events, 'MAXLEN', '~', events_kept(q))

  local done = {}
  local stale_locks, finished_ids = {}, {}
  local scores = { completed = {}, failed = {} }
  local function flush(set)
    if #scores[set] > 0 then
      call_many('ZADD', q[set], scores[set])
      scores[set] = {}
    end
  end

  local function end_one(i)
    local a = 4 + (i - 1) * 12
    local id, token, kind, text, stacks = ARGV[a], ARGV[a + 1], ARGV[a + 3], ARGV[a + 4], ARGV[a + 5]
    local key = q.base .. id
    local job = redis.call('HMGET', key, 'name', 'atm', 'priority', 'opts', 'attemptsMade', 'deid', 'parentKey',
      'parent')
    if not job[1] and redis.call('EXISTS', key) == 0 then
      return { 'refused', 'missing', '' }
    end
    local lock = held[i]
    if done[id] then
      lock = false
    end
    if token ~= '0' and lock ~= token then
      if lock then
        return { 'refused', 'locked', '' }
      end
      local lease = not done[id] and redis.call('HGET', q.leases, id)
      local owner = lease and string.match(lease, '^%-?%d+ (.*)$')
      if not owner or not redis.call('LPOS', q.active, id) then
        return { 'refused', 'unlocked', '' }
      end
      if owner ~= token then
        return { 'refused', 'locked', '' }
      end
    end
    if has_requests and ARGV[a + 2] ~= '1' then
      local request = redis.call('HGET', q.cancels, id)
      local asked_of, reason = string.match(request or '', '^([^\n]*)\n(.*)$')
      if asked_of and (asked_of == token or token == '0') then
        return { 'refused', 'cancel', reason }
      end
    end
    if kind == 'completed' then
      if redis.call('EXISTS', key .. ':dependencies') == 1 then
        return { 'refused', 'children', '' }
      end
    end
    if (kind == 'completed' or kind == 'await') and redis.call('EXISTS', key .. ':unsuccessful') == 1 then
      return { 'refused', 'failed-children', '' }
    end
    if redis.call('LREM', q.active, ARGV[a + 11] == '1' and 1 or -1, id) == 0 then
      return { 'refused', 'state', state_of(q, id) or '' }
    end
    done[id] = true
    finished_ids[#finished_ids + 1] = id
    stale_locks[#stale_locks + 1] = locks[i]
    local made = (tonumber(job[5]) or tonumber(job[2]) or 0) + 1
    if kind == 'completed' or kind == 'failed' then
      local keep_count, keep_age = tonumber(ARGV[a + 8]), tonumber(ARGV[a + 9])
      local state = kind
      if job[6] then
        dedup_finished(q, id, job[6], now)
      end
      if job[7] and kind == 'completed' then
        child_completed(key, job[7], text, now)
      elseif job[7] then
        child_failed(key, job[7], job[8], text, now)
      end
      if keep_count == 0 then
        delete_jobs(q, { id }, now, true)
        state = 'gone'
      else
        if kind == 'completed' then
          redis.call('HSET', key, 'returnvalue', text, 'finishedOn', ARGV[1], 'atm', made)
        else
          if stacks ~= '' then
            redis.call('HSET', key, 'failedReason', text, 'stacktrace', stacks, 'finishedOn', ARGV[1], 'atm', made)
          else
            redis.call('HSET', key, 'failedReason', text, 'finishedOn', ARGV[1], 'atm', made)
          end
          redis.call('HDEL', key, 'defa')
        end
        local set = scores[kind]
        set[#set + 1] = now
        set[#set + 1] = id
        if keep_age then
          keep_until(q, kind, id, now, now + keep_age)
        end
        if keep_count or keep_age then
          flush(kind)
          apply_retention(q, kind, now, keep_count, keep_age, tonumber(ARGV[a + 10]))
          if not redis.call('ZSCORE', q[kind], id) then
            state = 'gone'
          end
        end
      end
      if kind == 'completed' then
        emit(q, 'completed', 'jobId', id, 'returnvalue', text, 'prev', 'active')
      else
        emit(q, 'failed', 'jobId', id, 'failedReason', text, 'prev', 'active')
        if made >= tonumber(ARGV[a + 6]) then
          emit(q, 'retries-exhausted', 'jobId', id, 'attemptsMade', made)
        end
      end
      ended = true
      return { state }
    end
    ended = false
    if kind == 'retry' or kind == 'delayed' then
      if stacks ~= '' then
        redis.call('HSET', key, 'failedReason', text, 'stacktrace', stacks, 'atm', made)
      else
        redis.call('HSET', key, 'failedReason', text, 'atm', made)
      end
    end
    if kind == 'delayed' or kind == 'postponed' then
      local due = math.max(tonumber(ARGV[a + 7]), now)
      redis.call('HSET', key, 'delay', string.format('%.0f', due - now))
      redis.call('ZADD', q.delayed, delayed_score(q, due), id)
      emit_and_trim(q, 'delayed', 'jobId', id, 'delay', string.format('%.0f', due))
      any_delayed = true
      return { 'delayed' }
    end
    if kind == 'await' then
      local pending = key .. ':dependencies'
      if text == '' and redis.call('EXISTS', pending) == 1
        or text ~= '' and redis.call('SISMEMBER', pending, text) == 1 then
        redis.call('ZADD', q.waiting_children, now, id)
        emit_and_trim(q, 'waiting-children', 'jobId', id, 'prev', 'active')
        return { 'waiting-children' }
      end
    end
    local front = kind == 'returned' or kind == 'await'
    if kind == 'retry' then
      local read, opts = pcall(cjson.decode, job[4] or '{}')
      front = read and type(opts) == 'table' and opts.lifo == true
    end
    local priority = tonumber(job[3]) or 0
    if kind == 'retry' and priority ~= 0 then
      front = false
    end
    local state = push_waiting(q, id, priority, front)
    emit_and_trim(q, 'waiting', 'jobId', id, 'prev', 'active')
    -- A prioritized job that is given back wakes nobody, in BullMQ: whoever gave it back takes next.
    any_waits = any_waits or state == 'waiting' or kind == 'retry'
    return { state }
  end

  for i = 1, count do
    answers[i] = end_one(i)
  end
  flush('completed')
  flush('failed')
  if #finished_ids > 0 then
    for from = 1, #stale_locks, 1000 do
      redis.call('DEL', unpack(stale_locks, from, math.min(from + 999, #stale_locks)))
    end
    call_many('SREM', q.stalled, finished_ids)
    call_many('HDEL', q.leases, finished_ids)
    if has_requests then
      call_many('HDEL', q.cancels, finished_ids)
    end
  end
  if any_waits then
    wake(q)
  end
end

local taken = false
if ARGV[3] == '1' then
  taken = take(q, read_demand(4 + count * 12))
end
local decisive = taken and (#taken[1] > 0 or (taken[2] and taken[2] ~= 'empty') or taken[3])
if any_delayed and not (taken and #taken[1] > 0) then
  mark_next_due(q)
end
if ended and not decisive and redis.call('LLEN', q.wait) == 0 and redis.call('LLEN', q.active) == 0
  and redis.call('ZCARD', q.prioritized) == 0 then
  emit(q, 'drained')
end
return { answers, taken }
