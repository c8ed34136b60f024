--[[ release: frees a deduplication id.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  the deduplication id
  ARGV[2]  only if this job owns it; '' whoever does
  RETURNS  1 if it was taken
  ERRORS   none
  MOVES    none                                             EVENTS none
  COST     O(1) ]]
local key = q.base .. 'de:' .. ARGV[1]
if ARGV[2] == '' or redis.call('GET', key) == ARGV[2] then
  return redis.call('DEL', key)
end
return 0
