--[[ finish: writes the endings of jobs, in order, and may take the next ones.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  now ms
  ARGV[2]  how many endings
  ARGV[3]  '1' if a demand follows
  ARGV[4]  how many points are kept of the metrics; '' counts nothing
  ARGV[5..] the endings, in runs of those that are alike: token, kind, how many of them follow; then per ending id and text.
           The kind 'done' is a job that has completed, is kept without a bound and heeds no request to cancel; the text is its
           result. So is '+' with the time at which it was taken, in ms; it is also known of that job that this was its first try,
           that it has no parent and no deduplication id, and cannot get them. In every other kind the text is followed by seven
           more: '1' if it heeds a request to cancel, stacks (JSON) or '', attempts, due ms or '', kept count or '', kept age ms
           or '', most removed for their age. Those kinds are 'completed' | 'failed' | 'retry' | 'delayed' (again later) | 'postponed' | 'returned' | 'await';
           the text is the result as JSON, the reason, or the key of the one child to wait for
  then     a demand as in take.lua
  RETURNS  {answers, taken or false}; the answers are a number, if so many jobs have completed and are kept, else one for
           each: a state or 'gone', or {why, text} of one that was refused: why is 'missing' |
           'unlocked' | 'locked' | 'state' | 'cancel' | 'children' | 'failed-children'
  ERRORS   none
  MOVES    active -> completed, failed, waiting, prioritized, delayed, waiting-children, (none); waiting-children ->
           waiting, prioritized, delayed (parents); then those of take
  EVENTS   completed, failed, retries-exhausted, waiting, delayed, waiting-children; then those of take, or drained
  COST     O(K (log N + L)), K = endings, L = how far a job is from its end of active ]]
local now, now_text = tonumber(ARGV[1]), ARGV[1]
local count = tonumber(ARGV[2])
local demand_at = 5
local answers = {}
local ended, all_completed = false, true
local final_ids = {}
local any_waits, any_delayed, was_full = false, false, false

local KNOWN, NO_FIELDS = string.byte('+'), {}

-- From this length on, it is looked up to which end of active a job is nearer.
local LONG = 64

-- Whether these ids are the last ones of a list, in whatever order.
local function are_last_of(list, ids)
  local missing, found = {}, 0
  for _, id in ipairs(ids) do
    missing[id] = true
  end
  for _, id in ipairs(redis.call('LRANGE', list, -#ids, -1)) do
    if not missing[id] then
      return false
    end
    missing[id] = nil
    found = found + 1
  end
  return found == #ids
end

if count > 0 then
  local call = redis.call
  read_settings(q)
  was_full = is_full(q)
  local ids, tokens, kinds, texts = {}, {}, {}, {}
  -- Where the seven more of an ending are, if it has them.
  local more = {}
  local keys, locks, of_children = {}, {}, {}
  local any_known, all_known = false, true
  local n = 0
  while n < count do
    local token, kind, last = ARGV[demand_at], ARGV[demand_at + 1], n + tonumber(ARGV[demand_at + 2])
    local is_known = string.byte(kind) == KNOWN
    local is_plain = is_known or kind == 'done'
    any_known, all_known = any_known or is_known, all_known and is_known
    demand_at = demand_at + 3
    for i = n + 1, last do
      local id = ARGV[demand_at]
      local key = base .. id
      ids[i], tokens[i], kinds[i], texts[i] = id, token, kind, ARGV[demand_at + 1]
      keys[i], locks[i] = key, key .. ':lock'
      of_children[2 * i - 1], of_children[2 * i] = key .. ':dependencies', key .. ':unsuccessful'
      demand_at = demand_at + 2
      if not is_plain then
        more[i] = demand_at
        demand_at = demand_at + 7
      end
    end
    n = last
  end
  local held, all_held = {}, true
  for from = 1, count, 1000 do
    local to = math.min(from + 999, count)
    local values = call('MGET', unpack(locks, from, to))
    for i = from, to do
      held[i] = values[i - from + 1]
      all_held = all_held and held[i] == tokens[i]
    end
  end
  -- What is known of a job is worth nothing if it is gone.
  local all_there = any_known and count <= 1000 and call('EXISTS', unpack(keys)) == count
  -- What hardly any call meets.
  local any_rare = call('EXISTS', q.cancels, q.stalled, q.delayed, q.limiter) > 0
  local has_requests = any_rare and call('EXISTS', q.cancels) == 1
  local may_have_children = any_exists(of_children, 1)
  q.is_quiet = not any_rare
  -- What follows concerns other jobs: what was found may not hold any more.
  local function look_again()
    may_have_children = true
    q.is_quiet = false
  end

  local finished_ids, stale_locks = {}, {}
  local scores = { completed = {}, failed = {} }
  local ended_as = { completed = 0, failed = 0 }
  local is_trimmed = false

  -- The plain endings of jobs that are known, and of which nothing else is to be looked at: nearly all.
  local is_plain_call = all_known and all_there and all_held and not has_requests and not may_have_children
  -- Jobs that end as they began are the last ones of active.
  local are_last = is_plain_call and count > 1 and are_last_of(q.active, ids)
  if are_last then
    call('LTRIM', q.active, 0, -count - 1)
  end
  -- New jobs enter active at its head. A lone ending is that of a young job, as a rule.
  local is_younger, middle_at = count == 1, nil
  local running = not are_last and count > 1 and call('LLEN', q.active) or 0
  if running > LONG then
    local half = math.floor(running / 2)
    local middle = call('LRANGE', q.active, half, half)[1]
    middle_at = middle and tonumber(call('HGET', base .. middle, 'processedOn'))
  end
  local done = {}

  for i = 1, is_plain_call and count or 0 do
    local id = ids[i]
    if not are_last and middle_at then
      is_younger = tonumber(kinds[i]) > middle_at
    end
    if are_last or call('LREM', q.active, is_younger and 1 or -1, id) == 1 then
      local text, completed = texts[i], scores.completed
      call('HSET', keys[i], 'returnvalue', text, 'finishedOn', now_text, 'atm', '1')
      if is_trimmed then
        call('XADD', q.events, '*', 'event', 'completed', 'jobId', id, 'returnvalue', text, 'prev', 'active')
      else
        emit_and_trim(q, 'completed', 'jobId', id, 'returnvalue', text, 'prev', 'active')
        is_trimmed = true
      end
      local ended_before = #finished_ids
      finished_ids[ended_before + 1], stale_locks[ended_before + 1] = id, locks[i]
      completed[2 * ended_before + 1], completed[2 * ended_before + 2] = now_text, id
      ended, done[id], answers[i] = true, true, 'completed'
    elseif done[id] then
      answers[i], all_completed = { 'unlocked', '' }, false
    else
      answers[i], all_completed = { 'state', state_of(q, id) or '' }, false
    end
  end
  if is_plain_call then
    final_ids, ended_as.completed = finished_ids, #finished_ids
  end

  local function flush(set)
    if #scores[set] > 0 then
      call_many('ZADD', q[set], scores[set])
      scores[set] = {}
    end
  end

  for i = is_plain_call and count + 1 or 1, count do
    repeat -- Once: a break goes on with the next one. A function for it would cost a lone call some 3 us.
      local id, token, kind, text, key, a = ids[i], tokens[i], kinds[i], texts[i], keys[i], more[i]
      local is_plain, taken_at = not a, string.byte(kind) == KNOWN and kind
      if is_plain then
        kind = 'completed'
      end
      local lock = held[i]
      if done[id] then
        lock = false
      end
      local job = NO_FIELDS
      if not (taken_at and all_there and lock == token) then
        taken_at = false
        job = call('HMGET', key, 'atm', 'deid', 'parentKey', 'attemptsMade', 'processedOn', 'name')
        if not job[6] and call('EXISTS', key) == 0 then
          answers[i] = { 'missing', '' }
          break
        end
      end
      if lock ~= token and token ~= '0' then
        if lock then
          answers[i] = { 'locked', '' }
          break
        end
        local lease = not done[id] and redis.call('HGET', q.leases, id)
        local owner = lease and string.match(lease, '^%-?%d+ (.*)$')
        if not owner or not redis.call('LPOS', q.active, id) then
          answers[i] = { 'unlocked', '' }
          break
        end
        if owner ~= token then
          answers[i] = { 'locked', '' }
          break
        end
      end
      if has_requests and (is_plain or ARGV[a] ~= '1') then
        local request = redis.call('HGET', q.cancels, id)
        local asked_of, reason = string.match(request or '', '^([^\n]*)\n(.*)$')
        if asked_of and (asked_of == token or token == '0') then
          answers[i] = { 'cancel', reason }
          break
        end
      end
      if may_have_children then
        if kind == 'completed' and redis.call('EXISTS', key .. ':dependencies') == 1 then
          answers[i] = { 'children', '' }
          break
        end
        if (kind == 'completed' or kind == 'await') and redis.call('EXISTS', key .. ':unsuccessful') == 1 then
          answers[i] = { 'failed-children', '' }
          break
        end
      end
      if middle_at then
        is_younger = (tonumber(taken_at or job[5]) or 0) > middle_at
      end
      if redis.call('LREM', q.active, is_younger and 1 or -1, id) == 0 then
        answers[i] = { 'state', state_of(q, id) or '' }
        break
      end
      done[id] = true
      finished_ids[#finished_ids + 1] = id
      stale_locks[#stale_locks + 1] = locks[i]
      local made = taken_at and 1 or (tonumber(job[4]) or tonumber(job[1]) or 0) + 1
      local made_text = as_text(made)
      if kind == 'completed' or kind == 'failed' then
        local keep_count, keep_age
        if not is_plain then
          keep_count, keep_age = tonumber(ARGV[a + 4]), tonumber(ARGV[a + 5])
        end
        local state = kind
        if job[2] then
          look_again()
          rarely().dedup_finished(q, id, job[2], now)
        end
        if job[3] then
          look_again()
          if kind == 'completed' then
            rarely().child_completed(key, job[3], text, now)
          else
            rarely().child_failed(key, job[3], redis.call('HGET', key, 'parent'), text, now)
          end
        end
        if keep_count == 0 then
          look_again()
          rarely().delete_jobs(q, { id }, now, true)
          state = 'gone'
        else
          if kind == 'completed' then
            redis.call('HSET', key, 'returnvalue', text, 'finishedOn', now_text, 'atm', made_text)
          else
            local stacks = ARGV[a + 1]
            if stacks ~= '' then
              redis.call('HSET', key, 'failedReason', text, 'stacktrace', stacks, 'finishedOn', now_text, 'atm', made_text)
            else
              redis.call('HSET', key, 'failedReason', text, 'finishedOn', now_text, 'atm', made_text)
            end
            redis.call('HDEL', key, 'defa')
          end
          local set = scores[kind]
          set[#set + 1] = now_text
          set[#set + 1] = id
          if keep_age then
            rarely().keep_until(q, kind, id, now, now + keep_age)
          end
          if keep_count or keep_age then
            look_again()
            flush(kind)
            rarely().apply_retention(q, kind, now, keep_count, keep_age, tonumber(ARGV[a + 6]))
            if not redis.call('ZSCORE', q[kind], id) then
              state = 'gone'
            end
          end
        end
        local tell = is_trimmed and emit or emit_and_trim
        is_trimmed = true
        if kind == 'completed' then
          tell(q, 'completed', 'jobId', id, 'returnvalue', text, 'prev', 'active')
        else
          tell(q, 'failed', 'jobId', id, 'failedReason', text, 'prev', 'active')
          if made >= tonumber(ARGV[a + 2]) then
            emit(q, 'retries-exhausted', 'jobId', id, 'attemptsMade', made_text)
          end
        end
        ended = true
        final_ids[#final_ids + 1] = id
        ended_as[kind] = ended_as[kind] + 1
        answers[i] = state
        break
      end
      ended = false
      redis.call('HDEL', q.leases, id)
      if kind == 'retry' or kind == 'delayed' then
        local stacks = ARGV[a + 1]
        if stacks ~= '' then
          redis.call('HSET', key, 'failedReason', text, 'stacktrace', stacks, 'atm', made_text)
        else
          redis.call('HSET', key, 'failedReason', text, 'atm', made_text)
        end
      end
      if kind == 'delayed' or kind == 'postponed' then
        local due = math.max(tonumber(ARGV[a + 3]), now)
        redis.call('HSET', key, 'delay', string.format('%.0f', due - now))
        redis.call('ZADD', q.delayed, delayed_score(q, due), id)
        emit_and_trim(q, 'delayed', 'jobId', id, 'delay', string.format('%.0f', due))
        any_delayed = true
        look_again()
        answers[i] = 'delayed'
        break
      end
      if kind == 'await' then
        local pending = key .. ':dependencies'
        if text == '' and redis.call('EXISTS', pending) == 1
          or text ~= '' and redis.call('SISMEMBER', pending, text) == 1 then
          redis.call('ZADD', q.waiting_children, now, id)
          emit_and_trim(q, 'waiting-children', 'jobId', id, 'prev', 'active')
          answers[i] = 'waiting-children'
          break
        end
      end
      local front = kind == 'returned' or kind == 'await'
      local place = redis.call('HMGET', key, 'priority', 'opts')
      local priority = tonumber(place[1]) or 0
      if kind == 'retry' and priority == 0 then
        local read, opts = pcall(cjson.decode, place[2] or '{}')
        front = read and type(opts) == 'table' and opts.lifo == true
      end
      local state = push_waiting(q, id, priority, front)
      emit_and_trim(q, 'waiting', 'jobId', id, 'prev', 'active')
      -- A prioritized job that is given back wakes nobody, in BullMQ: whoever gave it back takes next.
      any_waits = any_waits or state == 'waiting' or kind == 'retry'
      answers[i] = state
    until true
    all_completed = all_completed and answers[i] == 'completed'
  end
  flush('completed')
  flush('failed')
  if ARGV[4] ~= '' then
    for kind, many in pairs(ended_as) do
      if many > 0 then
        rarely().count_ended(q, kind, many, tonumber(ARGV[4]), now)
      end
    end
  end
  if #finished_ids > 0 then
    for from = 1, #stale_locks, 1000 do
      redis.call('DEL', unpack(stale_locks, from, math.min(from + 999, #stale_locks)))
    end
    if any_rare then
      call_many('SREM', q.stalled, finished_ids)
    end
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
  local demand = read_demand(demand_at)
  demand.leases_are_there = #final_ids > 0
  taken = take(q, demand)
end
-- Not before: as long as there is a lease, the time that all are kept for is set.
for from = 1, #final_ids, 1000 do
  local ids = { unpack(final_ids, from, math.min(from + 999, #final_ids)) }
  if redis.call('HDEL', q.leases, unpack(ids)) == 0 and taken and #taken[1] > 0 then
    keep_leases(q, tonumber(ARGV[demand_at + 3]))
  end
end
if was_full and not is_full(q) then
  -- Whoever waits for a place does not hear of it otherwise; BullMQ tells nobody.
  wake_for_place(q)
end
local decisive = taken and (#taken[1] > 0 or (taken[2] and taken[2] ~= 'empty') or taken[3])
if any_delayed and not (taken and #taken[1] > 0) then
  mark_next_due(q)
end
if ended and not decisive and redis.call('EXISTS', q.wait, q.active, q.prioritized) == 0 then
  emit(q, 'drained')
end
return { all_completed and count or answers, taken }
