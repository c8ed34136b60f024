--[[ events: events after a place in the stream.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  after this id; '' from the oldest; '$': none, only where the end is
  ARGV[2]  the most to give
  RETURNS  {entries, the stream's last id, 1 if events after ARGV[1] are gone}
  ERRORS   none
  MOVES    none                                             EVENTS none
  COST     O(entries) ]]
local exists = redis.call('EXISTS', q.events) == 1
local last = '0-0'
if exists then
  local info = redis.call('XINFO', 'STREAM', q.events)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      last = info[i + 1]
    end
  end
end
if ARGV[1] == '$' or not exists then
  return { {}, last, 0 }
end
local after = ARGV[1]
if after == '' then
  return { redis.call('XRANGE', q.events, '-', '+', 'COUNT', ARGV[2]), last, 0 }
end
local gone = 0
if after ~= '0-0' and #redis.call('XRANGE', q.events, after, after) == 0 then
  -- It was trimmed, if what is there now is newer.
  local older = redis.call('XREVRANGE', q.events, after, '-', 'COUNT', 1)
  gone = #older == 0 and #redis.call('XRANGE', q.events, '-', '+', 'COUNT', 1) > 0 and 1 or 0
end
return { redis.call('XRANGE', q.events, '(' .. after, '+', 'COUNT', ARGV[2]), last, gone }
