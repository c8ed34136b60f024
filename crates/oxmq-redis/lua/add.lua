--[[ add: creates jobs, in order.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  how many jobs
  ARGV[2]  now ms
  ARGV[3..] three per job: '=' or '', name, data (JSON); after '' seven more: own id or '', opts (JSON), timestamp ms, delay ms,
           priority, '1' if lifo, '' or the deduplication as shared/claim.lua reads it. After '=' there is neither an own id nor
           a deduplication, and the others are those of the job before
  RETURNS  {first id, state}: all were created, with numbers in order as ids, and are in this state; else
           three per job: id, 'created' | 'existing' | 'replaced ID' | 'deduplicated' | 'next ID', state (false if it is in
           none) of the job with that id, which is the owner's in the last two cases
  ERRORS   none
  MOVES    (none) -> waiting, prioritized, delayed; the owner of a deduplication id: delayed -> delayed, (none)
  EVENTS   added, then waiting or delayed; duplicated; deduplicated, after removed or before delayed of the owner
  COST     O(K log N), K = jobs; a job whose id exists, or that has an owner, is looked for in the lists ]]
local count = tonumber(ARGV[1])
local number = redis.call('INCRBY', q.id, count) - count
read_settings(q)
local kept = events_kept(q)
local heads, tails, scored, due = {}, {}, {}, false
local answer = {}
local created = {}
local own, opts, timestamp, delay_ms, lifo, deduplication
local delay, priority
local same_state, is_plain = nil, true
local a = 3
for i = 1, count do
  local name, data = ARGV[a + 1], ARGV[a + 2]
  if ARGV[a] == '=' then
    own, deduplication = '', ''
    a = a + 3
  else
    own, opts, timestamp, delay_ms = ARGV[a + 3], ARGV[a + 4], ARGV[a + 5], ARGV[a + 6]
    delay, priority = tonumber(delay_ms), tonumber(ARGV[a + 7])
    lifo, deduplication = ARGV[a + 8] == '1', ARGV[a + 9]
    a = a + 10
  end
  number = number + 1
  local id, exists = own, false
  if id == '' then
    id = string.format('%.0f', number)
  else
    exists = created[id] or redis.call('EXISTS', q.base .. id) == 1
  end
  local fate, state, claim, owner, moved = 'created', nil, false, nil, nil
  if exists then
    redis.call('XADD', q.events, 'MAXLEN', '~', kept, '*', 'event', 'duplicated', 'jobId', id)
    fate, state = 'existing', created[id] or state_of(q, id)
  elseif deduplication ~= '' then
    claim = rarely().read_claim(deduplication)
    fate, owner, moved = rarely().decide(q, claim, {
      id = id, name = name, data = data, opts = opts,
      timestamp = tonumber(timestamp), delay = delay, now = tonumber(ARGV[2]),
    })
    due = due or moved
  end
  if owner then
    id, state = owner, created[owner] or state_of(q, owner)
  elseif not exists then
    local key = q.base .. id
    redis.call('HSET', key, 'name', name, 'data', data, 'opts', opts, 'timestamp', timestamp, 'delay', delay_ms,
      'priority', priority)
    if claim then
      redis.call('HSET', key, 'deid', claim.id)
    end
    redis.call('XADD', q.events, '*', 'event', 'added', 'jobId', id, 'name', name)
    if delay > 0 then
      state = 'delayed'
      local at = tonumber(timestamp) + delay
      redis.call('ZADD', q.delayed, delayed_score(q, at), id)
      redis.call('XADD', q.events, 'MAXLEN', '~', kept, '*', 'event', 'delayed', 'jobId', id,
        'delay', string.format('%.0f', at))
      due = true
    else
      if priority > 0 then
        state = 'prioritized'
        scored[#scored + 1] = priority
        scored[#scored + 1] = id
      else
        state = 'waiting'
        local ends = lifo and tails or heads
        ends[#ends + 1] = id
      end
      redis.call('XADD', q.events, 'MAXLEN', '~', kept, '*', 'event', 'waiting', 'jobId', id)
    end
    if claim or own ~= '' then
      created[id] = state
    end
  end
  -- As long as nothing else is to be said, the answer is the first id.
  if is_plain then
    if i == 1 then
      same_state, answer[1] = state, id
    end
    is_plain = fate == 'created' and own == '' and state == same_state
    if not is_plain and i > 1 then
      for earlier = 1, i - 1 do
        local n = earlier * 3
        answer[n - 2], answer[n - 1], answer[n] = string.format('%.0f', number - i + earlier), 'created', same_state
      end
    end
  end
  if not is_plain then
    local n = i * 3
    answer[n - 2], answer[n - 1], answer[n] = id, fate, state
  end
end
if is_plain then
  answer[2] = same_state
end
if #heads > 0 then call_many('LPUSH', q.wait, heads) end
if #tails > 0 then call_many('RPUSH', q.wait, tails) end
if #scored > 0 then
  local many = #scored / 2
  local n = redis.call('INCRBY', q.pc, many) - many
  for i = 1, #scored, 2 do
    n = n + 1
    scored[i] = scored[i] * 4294967296 + n % 4294967296
  end
  call_many('ZADD', q.prioritized, scored)
end
if #heads + #tails + #scored > 0 then
  wake(q)
end
if due then
  mark_next_due(q)
end
return answer
