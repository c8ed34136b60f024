--[[ put_schedule: makes a schedule and its next job, or gives the one with this id another rule or template.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  now ms
  ARGV[2]  id
  ARGV[3]  every ms, or '' for a pattern
  ARGV[4]  the pattern's next slot ms, or ''
  ARGV[5]  offset ms; 0: none given
  ARGV[6]  start ms or ''
  ARGV[7]  limit or ''
  ARGV[8]  pattern
  ARGV[9]  zone or ''
  ARGV[10] end ms or ''
  ARGV[11] the whole rule as JSON if the fields before do not tell all of it, else ''
  ARGV[12] the template's options (JSON), '' if none
  ARGV[13] name
  ARGV[14] data (JSON)
  ARGV[15] the job's options (JSON) as in shared/slots.lua: head
  ARGV[16] rule
  ARGV[17] rest
  ARGV[18] priority
  ARGV[19] '1' if lifo
  RETURNS  {job, slot ms}; {}: the limit is reached, no job was made; {-10, job}, {-11, job}: the slot, and of "every" those
           after it, have a job already
  ERRORS   none
  MOVES    (none) -> waiting, prioritized, delayed; waiting, prioritized, delayed -> (none): the job that is replaced
  EVENTS   added, then waiting or delayed
  COST     O(N), N = waiting jobs, if the schedule is there and its job waits ]]
local now, id = tonumber(ARGV[1]), ARGV[2]
local every, at, offset, start, limit =
  tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local all, hash = q.base .. 'repeat', q.base .. 'repeat:' .. id
local previous = tonumber(redis.call('ZSCORE', all, id) or nil)
local was = redis.call('HMGET', hash, 'every', 'offset', 'startDate', 'pattern', 'tz', 'ic')
local kept, made = tonumber(was[2]) or 0, tonumber(was[6]) or 0

-- The job that waits for its slot, or in it, and is replaced.
local replaced, place = nil, nil
if previous then
  local job = slot_id(id, previous)
  if redis.call('EXISTS', q.base .. job) == 1 then
    local state = state_of(q, job)
    if state == 'delayed' or state == 'prioritized' or state == 'wait' or state == 'paused' then
      replaced, place = job, state
    end
  end
end

local slot
if every then
  local same = previous and tonumber(was[1]) == every and (offset == 0 or offset == kept)
    and not (start and start > now and start ~= tonumber(was[3]))
  if same and replaced then
    slot, offset = previous, kept
  else
    if offset == 0 and same then
      offset = kept
    end
    slot, offset = next_every(same and previous or nil, every, now, offset, start)
  end
else
  offset = 0
  local same = previous and was[4] == ARGV[8] and (was[5] or '') == ARGV[9]
  slot = same and replaced and previous <= now and previous or at
end
local number = replaced and math.max(made, 1) or made + 1
local is_over = limit ~= nil and number > limit
local free, taken = free_slot(q, id, slot, every, replaced)
if not free and not is_over then
  return { every and -11 or -10, taken }
end
slot = free or slot

if replaced then
  leave(q, replaced, place)
  delete_jobs(q, { replaced }, now)
end
redis.call('DEL', hash)
local fields = { 'name', ARGV[13] }
for _, pair in ipairs({
  { 'tz', ARGV[9] }, { 'limit', ARGV[7] }, { 'pattern', not every and ARGV[8] }, { 'startDate', ARGV[6] },
  { 'endDate', ARGV[10] }, { 'every', ARGV[3] }, { 'offset', string.format('%.0f', offset) }, { 'opts', ARGV[12] },
  { 'data', ARGV[14] ~= '{}' and ARGV[14] }, { 'ic', string.format('%.0f', is_over and made or number) },
  { 'oxmq', ARGV[11] },
}) do
  if pair[2] and (pair[2] ~= '' or pair[1] == 'pattern') then
    fields[#fields + 1], fields[#fields + 2] = pair[1], pair[2]
  end
end
redis.call('HSET', hash, unpack(fields))
redis.call('ZADD', all, string.format('%.0f', is_over and previous or slot), id)
if is_over then
  return {}
end
local job = make_slot_job(q, id, slot, {
  name = ARGV[13], data = ARGV[14], number = string.format('%.0f', number), now = now, head = ARGV[15], rule = ARGV[16],
  rest = ARGV[17], pattern = not every, priority = tonumber(ARGV[18]), lifo = ARGV[19] == '1',
})
return { job, string.format('%.0f', slot) }
