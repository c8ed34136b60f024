--[[ detach: takes a child from its parent.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  now ms
  ARGV[2]  the child's id
  RETURNS  {1}: done; {0}: it was not pending; {-1}: there is no such job; {-5}: its parent is not there; then the
           parent's key, or false
  ERRORS   none
  MOVES    waiting-children -> waiting, prioritized, delayed (the parent)       EVENTS waiting, delayed (the parent)
  COST     O(log N) ]]
local child = q.base .. ARGV[2]
if redis.call('EXISTS', child) == 0 then
  return { -1, false }
end
local parent_key = redis.call('HGET', child, 'parentKey')
if not parent_key then
  return { 0, false }
end
if redis.call('EXISTS', parent_key) == 0 then
  return { -5, parent_key }
end
if redis.call('SREM', parent_key .. ':dependencies', child) == 0 then
  return { 0, parent_key }
end
local p, id = family_at(parent_key)
release_if_free(p, id, tonumber(ARGV[1]))
redis.call('HDEL', child, 'parentKey', 'parent')
return { 1, parent_key }
