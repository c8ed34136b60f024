--[[ jobs: a page of the jobs in some states, as one sequence. Entries without a job are passed over.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  how many to pass over
  ARGV[2]  the most to give
  ARGV[3]  'asc' (what runs, ran or finished first) | 'desc'
  ARGV[4..] states, as in the keys: 'completed', 'wait', ..
  RETURNS  views as in shared/view.lua
  ERRORS   none
  MOVES    none                                             EVENTS none
  COST     O(offset + limit) ]]
local skip, left, ascending = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == 'asc'
local lists = { wait = q.wait, active = q.active, paused = q.paused }
local page = {}
for a = 4, #ARGV do
  local state = ARGV[a]
  local key = lists[state] or (state == 'waiting-children' and q.waiting_children) or q[state]
  local length = lists[state] and redis.call('LLEN', key) or redis.call('ZCARD', key)
  local at = math.min(skip, length)
  skip = skip - at
  while left > 0 and at < length do
    local slice = math.min(left, 1000)
    local ids
    if not lists[state] then
      ids = redis.call(ascending and 'ZRANGE' or 'ZREVRANGE', key, at, at + slice - 1)
    elseif ascending then
      -- What runs first is at the tail.
      local reversed = redis.call('LRANGE', key, math.max(length - at - slice, 0), length - at - 1)
      ids = {}
      for i = #reversed, 1, -1 do
        ids[#ids + 1] = reversed[i]
      end
    else
      ids = redis.call('LRANGE', key, at, at + slice - 1)
    end
    for _, id in ipairs(ids) do
      local shown = view(q, id, state)
      if shown then
        page[#page + 1] = shown
        left = left - 1
      end
    end
    at = at + slice
  end
end
return page
