--[[ children: a page of a job's children, and how many there are of each kind.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  id
  ARGV[2]  the most to give
  ARGV[3]  the kind that the last page ended in, or ''
  ARGV[4]  the key that it ended with, or ''
  ARGV[5..] kinds: 'processed' | 'unprocessed' | 'ignored' | 'failed'
  RETURNS  {processed, unprocessed, ignored, failed, 1 if there are more, then four per child: kind, its queue's base, id, value}
  ERRORS   none
  MOVES    none                                             EVENTS none
  COST     O(C + limit log limit), C = children of the kinds asked for ]]
local key = q.base .. ARGV[1]
local names = { processed = ':processed', unprocessed = ':dependencies', ignored = ':failed', failed = ':unsuccessful' }
local answer = {
  redis.call('HLEN', key .. ':processed'), redis.call('SCARD', key .. ':dependencies'),
  redis.call('HLEN', key .. ':failed'), redis.call('ZCARD', key .. ':unsuccessful'), 0,
}
local left, passed = tonumber(ARGV[2]), ARGV[3] == ''
if left == 0 then
  return answer
end

-- The first `most` keys behind `after`, in order.
local function least(keys, after, most)
  local found, bound = {}, false
  local function cut()
    table.sort(found)
    for i = #found, most + 1, -1 do
      found[i] = nil
    end
  end
  for _, child in ipairs(keys) do
    if (not after or child > after) and (not bound or child < bound) then
      found[#found + 1] = child
      if #found >= 4 * most + 100 then
        cut()
        bound = found[most]
      end
    end
  end
  cut()
  return found
end

for i = 5, #ARGV do
  local kind = ARGV[i]
  local set = key .. names[kind]
  local after = false
  if not passed and kind == ARGV[3] then
    passed, after = true, ARGV[4]
  end
  if passed and answer[5] == 0 then
    local keys
    if kind == 'unprocessed' then
      keys = redis.call('SMEMBERS', set)
    elseif kind == 'failed' then
      keys = redis.call('ZRANGE', set, 0, -1)
    else
      keys = redis.call('HKEYS', set)
    end
    for _, child in ipairs(least(keys, after, left + 1)) do
      if left == 0 then
        answer[5] = 1
        break
      end
      left = left - 1
      local value = false
      if kind == 'failed' then
        value = redis.call('ZSCORE', set, child)
      elseif kind ~= 'unprocessed' then
        value = redis.call('HGET', set, child)
      end
      local p, id = family_at(child)
      local n = #answer
      answer[n + 1], answer[n + 2], answer[n + 3], answer[n + 4] = kind, p.base, id, value
    end
  end
end
return answer
