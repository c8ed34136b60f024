--[[ add: creates jobs, in order.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  how many jobs
  ARGV[2]  now ms
  ARGV[3..] nine per job: own id or '', name, data (JSON), opts (JSON), timestamp ms, delay ms, priority, '1' if lifo,
           '' or the deduplication as shared/claim.lua reads it
  RETURNS  three per job: id, 'created' | 'existing' | 'replaced ID' | 'deduplicated' | 'next ID', state (false if it is in
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
for i = 0, count - 1 do
  local a = 3 + i * 9
  number = number + 1
  local id = ARGV[a]
  local exists = false
  if id == '' then
    id = string.format('%.0f', number)
  else
    exists = created[id] or redis.call('EXISTS', q.base .. id) == 1
  end
  local n = #answer
  answer[n + 1] = id
  if exists then
    redis.call('XADD', q.events, 'MAXLEN', '~', kept, '*', 'event', 'duplicated', 'jobId', id)
    answer[n + 2] = 'existing'
    answer[n + 3] = created[id] or state_of(q, id)
  end
  local claim, fate, owner, moved = false, 'created', nil, nil
  if not exists and ARGV[a + 8] ~= '' then
    claim = rarely().read_claim(ARGV[a + 8])
    fate, owner, moved = rarely().decide(q, claim, {
      id = id, name = ARGV[a + 1], data = ARGV[a + 2], opts = ARGV[a + 3],
      timestamp = tonumber(ARGV[a + 4]), delay = tonumber(ARGV[a + 5]), now = tonumber(ARGV[2]),
    })
    due = due or moved
  end
  if owner then
    answer[n + 1], answer[n + 2], answer[n + 3] = owner, fate, created[owner] or state_of(q, owner)
  elseif not exists then
    local delay, priority = tonumber(ARGV[a + 5]), tonumber(ARGV[a + 6])
    redis.call('HSET', q.base .. id, 'name', ARGV[a + 1], 'data', ARGV[a + 2], 'opts', ARGV[a + 3],
      'timestamp', ARGV[a + 4], 'delay', ARGV[a + 5], 'priority', ARGV[a + 6])
    if claim then
      redis.call('HSET', q.base .. id, 'deid', claim.id)
    end
    redis.call('XADD', q.events, '*', 'event', 'added', 'jobId', id, 'name', ARGV[a + 1])
    local state
    if delay > 0 then
      state = 'delayed'
      local at = tonumber(ARGV[a + 4]) + delay
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
        local ends = ARGV[a + 7] == '1' and tails or heads
        ends[#ends + 1] = id
      end
      redis.call('XADD', q.events, 'MAXLEN', '~', kept, '*', 'event', 'waiting', 'jobId', id)
    end
    if claim or ARGV[a] ~= '' then
      created[id] = state
    end
    answer[n + 2] = fate
    answer[n + 3] = state
  end
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
