--[[ extend: keeps leases.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  now ms
  ARGV[2]  lease ms
  ARGV[3..] two per lease: id, token
  RETURNS  one per lease: 'kept' | 'lost' | {'cancel', reason}
  ERRORS   none
  MOVES    none                                                          EVENTS none
  COST     O(K), K = leases; one whose lock has expired is looked for in active ]]
local now, lease_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local ends = string.format('%.0f', now + lease_ms) .. ' '
local answers, kept, leases = {}, {}, {}
local has_requests = redis.call('EXISTS', q.cancels) == 1
for a = 3, #ARGV, 2 do
  local id, token = ARGV[a], ARGV[a + 1]
  local lock_key = q.base .. id .. ':lock'
  local good
  if token == '0' then
    good = redis.call('LPOS', q.active, id) ~= false
  else
    local lock = redis.call('GET', lock_key)
    good = lock == token
    if not lock then
      -- It expired, but nobody recovered the job: the lease is good if it was ours.
      local lease = redis.call('HGET', q.leases, id)
      good = lease and string.match(lease, '^%-?%d+ (.*)$') == token and redis.call('LPOS', q.active, id) ~= false
    end
    if good then
      redis.call('SET', lock_key, token, 'PX', lease_ms)
      kept[#kept + 1] = id
      leases[#leases + 1] = id
      leases[#leases + 1] = ends .. token
    end
  end
  local answer = good and 'kept' or 'lost'
  if good and has_requests then
    local asked_of, reason = string.match(redis.call('HGET', q.cancels, id) or '', '^([^\n]*)\n(.*)$')
    if asked_of and (asked_of == token or token == '0') then
      answer = { 'cancel', reason }
    end
  end
  answers[#answers + 1] = answer
end
if #kept > 0 then
  call_many('SREM', q.stalled, kept)
  call_many('HSET', q.leases, leases)
  keep_leases(q, lease_ms)
end
return answers
