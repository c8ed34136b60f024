--[[ clean: removes a step of the jobs in one state that are old.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  now ms
  ARGV[2]  state, as in the keys: 'completed', 'wait', ..
  ARGV[3]  old: at or before, ms
  ARGV[4]  the most to remove
  ARGV[5]  the event is written: '1'
  RETURNS  {1 if there are more, id, ..}
  ERRORS   none
  SPARES   the next runs of schedulers, unless they have finished
  MOVES    completed, failed, delayed, prioritized, waiting, active, waiting-children -> (none); waiting-children ->
           waiting, prioritized, delayed, (none) (parents)
  EVENTS   cleaned; waiting, delayed, removed (parents)
  COST     finished: O(K log N), K = jobs removed; others: O(N) ]]
local now, state, older, limit = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local ids, more = {}, false

-- Whether a job that has not finished is old. Jobs without a hash are: nothing else can be known of them.
local function is_old(id, fields)
  local times = redis.call('HMGET', q.base .. id, unpack(fields))
  for i = 1, #fields do
    if times[i] then
      return tonumber(times[i]) <= older
    end
  end
  return true
end

if state == 'completed' or state == 'failed' then
  ids = redis.call('ZRANGEBYSCORE', q[state], '-inf', older, 'LIMIT', 0, limit + 1)
  if #ids > limit then
    ids[#ids] = nil
    more = true
  end
  if #ids > 0 then
    call_many('ZREM', q[state], ids)
  end
else
  local lists = ({ wait = { q.wait, q.paused }, active = { q.active } })[state]
  local fields = { 'finishedOn', 'processedOn', 'timestamp' }
  if state == 'wait' or state == 'prioritized' then
    fields = { 'timestamp' }
  end
  local sources = lists or { state == 'waiting-children' and q.waiting_children or q[state] }
  for _, source in ipairs(sources) do
    -- In slices from the end that runs first, until there is one more than asked for.
    local length = lists and redis.call('LLEN', source) or redis.call('ZCARD', source)
    local at = 0
    local found = {}
    while at < length and not more do
      local slice
      if lists then
        slice = redis.call('LRANGE', source, math.max(length - at - 500, 0), length - at - 1)
      else
        slice = redis.call('ZRANGE', source, at, at + 499)
      end
      local first, last, step = 1, #slice, 1
      if lists then
        first, last, step = #slice, 1, -1
      end
      for i = first, last, step do
        local id = slice[i]
        local held = false
        if state == 'active' then
          local token, ends = holder_of(q, id)
          held = redis.call('EXISTS', q.base .. id .. ':lock') == 1 or (token and ends and ends > now)
        end
        if not held and not is_next_run(q, id) and is_old(id, fields) then
          if #ids >= limit then
            more = true
            break
          end
          ids[#ids + 1] = id
          found[#found + 1] = id
        end
      end
      at = at + 500
    end
    if lists then
      for _, id in ipairs(found) do
        redis.call('LREM', source, -1, id)
      end
    elseif #found > 0 then
      call_many('ZREM', source, found)
    end
  end
end
delete_jobs(q, ids, now, false, true)
if state == 'active' and #ids > 0 then
  call_many('HDEL', q.leases, ids)
  call_many('HDEL', q.cancels, ids)
  wake_for_place(q)
end
if ARGV[5] == '1' then
  emit(q, 'cleaned', 'count', #ids)
end
table.insert(ids, 1, more and 1 or 0)
return ids
