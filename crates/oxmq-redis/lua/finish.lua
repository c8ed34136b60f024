--[[ finish: writes the endings of jobs, in order, and may take the next ones.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  now ms
  ARGV[2]  how many endings
  ARGV[3]  '1' if a demand follows
  ARGV[4]  how many points are kept of the metrics; '' counts nothing
  ARGV[5]  how many runs of endings that are alike
  ARGV[6..] per run: token, kind, how many endings. The kind 'done' is a job that has completed, is kept without a bound and heeds no
           request to cancel; the text is its result. So is '+' with the time at which it was taken, in ms; it is also known of that
           job that this was its first try, that it has no parent and no deduplication id, and cannot get them. The others are
           'completed' | 'failed' | 'retry' | 'delayed' (again later) | 'postponed' | 'returned' | 'await'
  then     the ids, then the texts: the result as JSON, the reason, or the key of the one child to wait for
  then     per ending of another kind than 'done' and '+', seven more: '1' if it heeds a request to cancel, stacks (JSON) or '',
           attempts, due ms or '', kept count or '', kept age ms or '', most removed for their age
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
local heads_at = 6
local ids_at = heads_at + 3 * tonumber(ARGV[5])
local demand_at = ids_at + 2 * count
local answers = {}
local ended, all_completed = false, true
local final_ids = {}
local any_waits, any_delayed, was_full = false, false, false

local NO_FIELDS = {}

local plain_ids
if count > 0 then
  read_settings(q)
  was_full = is_full(q)
  local refusals
  plain_ids, refusals = finish_plain(q, now_text, count, heads_at, ids_at)
  if plain_ids then
    final_ids, ended = plain_ids, #plain_ids > 0
    all_completed, answers = not refusals, refusals
    if ended and ARGV[4] ~= '' then
      rarely().count_ended(q, 'completed', #plain_ids, tonumber(ARGV[4]), now)
    end
  end
end
if count > 0 and not plain_ids then
  local keys, locks, tokens, kinds = {}, {}, {}, {}
  -- Where the seven more of an ending are, if it has them.
  local more = {}
  local any_known = false
  -- What hardly any call meets; all of it is asked for at once.
  local rare = { q.cancels, q.stalled, q.delayed, q.limiter }
  for head = heads_at, ids_at - 1, 3 do
    local token, kind = ARGV[head], ARGV[head + 1]
    local is_known = string.byte(kind) == KNOWN
    any_known = any_known or is_known
    for i = #keys + 1, #keys + ARGV[head + 2] do
      local key = base .. ARGV[ids_at + i - 1]
      keys[i], locks[i], tokens[i], kinds[i] = key, key .. ':lock', token, kind
      rare[2 * i + 3], rare[2 * i + 4] = key .. ':dependencies', key .. ':unsuccessful'
      if not is_known and kind ~= 'done' then
        more[i] = demand_at
        demand_at = demand_at + 7
      end
    end
  end
  local held = {}
  for from = 1, count, 1000 do
    local to = math.min(from + 999, count)
    local values = redis.call('MGET', unpack(locks, from, to))
    for i = from, to do held[i] = values[i - from + 1] end
  end
  -- What is known of a job is worth nothing if it is gone.
  local all_there = any_known and count <= 1000 and redis.call('EXISTS', unpack(keys)) == count
  local any_rare = any_exists(rare, 1)
  local has_requests = any_rare and redis.call('EXISTS', q.cancels) == 1
  -- Whether a job may have children.
  local may_have_children = any_rare and any_exists(rare, 5)
  q.is_quiet = not any_rare
  -- What follows concerns other jobs: what was found may not hold any more.
  local function look_again()
    may_have_children = true
    q.is_quiet = false
  end
  -- A lone ending is that of a young job, as a rule.
  local is_younger, middle_at = count == 1, count > 1 and middle_of_active(q)

  local done = {}
  local stale_locks, finished_ids = {}, {}
  local scores = { completed = {}, failed = {} }
  local ended_as = { completed = 0, failed = 0 }
  local is_trimmed = false
  local function flush(set)
    if #scores[set] > 0 then
      call_many('ZADD', q[set], scores[set])
      scores[set] = {}
    end
  end

  for i = 1, count do
    repeat -- Once: a break goes on with the next one. A function for it would cost a lone call some 3 us.
      local id, token, kind, text = ARGV[ids_at + i - 1], tokens[i], kinds[i], ARGV[ids_at + count + i - 1]
      local key, a = keys[i], more[i]
      local is_plain, taken_at = not a, string.byte(kind) == KNOWN and kind or false
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
        job = redis.call('HMGET', key, 'atm', 'deid', 'parentKey', 'attemptsMade', 'processedOn', 'name')
        if not job[6] and redis.call('EXISTS', key) == 0 then
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
      local made, made_text = 1, '1'
      if not taken_at then
        made = (tonumber(job[4]) or tonumber(job[1]) or 0) + 1
        made_text = as_text(made)
      end
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
  local removed = redis.call('HDEL', q.leases, unpack(final_ids, from, math.min(from + 999, #final_ids)))
  if removed == 0 and taken and #taken[1] > 0 then
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
