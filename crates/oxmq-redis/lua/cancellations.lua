--[[ cancellations: the requests to cancel running jobs of one worker.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  the worker's id
  RETURNS  {id, token, reason, ..}
  ERRORS   none
  MOVES    none                                             EVENTS none
  COST     O(C), C = requests in the queue; each is looked for in active ]]
local found = {}
local all = redis.call('HGETALL', q.cancels)
for i = 1, #all, 2 do
  local id = all[i]
  local token, reason = string.match(all[i + 1], '^([^\n]*)\n(.*)$')
  if token and string.match(token, '^(.*):[^:]*$') == ARGV[1] and holder_of(q, id) == token
    and redis.call('LPOS', q.active, id) then
    local n = #found
    found[n + 1], found[n + 2], found[n + 3] = id, token, reason
  end
end
return found
