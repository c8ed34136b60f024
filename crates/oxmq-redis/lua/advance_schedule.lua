--[[ advance_schedule: makes the next job of a schedule, of which a job has started.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  now ms
  ARGV[2]  id
  ARGV[3]  the job that has started
  ARGV[4]  '1': look for a job of an earlier slot that is active
  ARGV[5]  '1' if a next one is to be made; else nothing follows
  ARGV[6]  the pattern's next slot ms, or ''
  ARGV[7]  slots of "every" before this ms are left out
  ARGV[8]  every ms as the job has it, or ''
  ARGV[9]  end ms or ''
  ARGV[10] the number of the new job
  ARGV[11] the job's options (JSON) as in shared/slots.lua: head
  ARGV[12] rule
  ARGV[13] rest
  ARGV[14] priority
  ARGV[15] '1' if lifo
  RETURNS  {fate, job or '', slot ms or '', overlapping job or ''}; fate: 'made' | 'passed' | 'gone' | 'ended' | 'taken'
  ERRORS   none
  MOVES    (none) -> waiting, prioritized, delayed          EVENTS added, then waiting or delayed; duplicated
  COST     O(log N); with ARGV[4] O(A), A = active jobs ]]
local now, id, started = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local all, hash = q.base .. 'repeat', q.base .. 'repeat:' .. id

local overlaps = ''
if ARGV[4] == '1' then
  local begin = 'repeat:' .. id .. ':'
  local own = tonumber(string.match(string.sub(started, #begin + 1), '^%d+$'))
  for _, job in ipairs(own and redis.call('LRANGE', q.active, 0, -1) or {}) do
    if string.sub(job, 1, #begin) == begin then
      local slot = tonumber(string.match(string.sub(job, #begin + 1), '^%d+$'))
      if slot and slot < own then
        overlaps = job
      end
    end
  end
end

local score = redis.call('ZSCORE', all, id)
local current = tonumber(score or nil)
if not current then
  return { 'gone', '', '', overlaps }
end
if slot_id(id, current) ~= started then
  return { 'passed', '', '', overlaps }
end
if ARGV[5] ~= '1' then
  return { 'ended', '', '', overlaps }
end
local kept = redis.call('HMGET', hash, 'name', 'data', 'every', 'offset', 'startDate', 'pattern')
if not kept[1] then
  return { 'gone', '', '', overlaps }
end
local every = tonumber(kept[3]) or (not kept[6] and tonumber(ARGV[8])) or nil
local slot = tonumber(ARGV[6])
if every then
  slot = next_every(current, every, tonumber(ARGV[7]), tonumber(kept[4]) or 0, tonumber(kept[5]))
end
if not slot then
  return { 'ended', '', '', overlaps }
end
local free, taken = free_slot(q, id, slot, every)
if not free then
  emit_and_trim(q, 'duplicated', 'jobId', taken)
  return { 'taken', taken, '', overlaps }
end
slot = free
if ARGV[9] ~= '' and slot > tonumber(ARGV[9]) then
  return { 'ended', '', '', overlaps }
end
local ms = string.format('%.0f', slot)
redis.call('ZADD', all, ms, id)
redis.call('HINCRBY', hash, 'ic', 1)
local job = make_slot_job(q, id, slot, {
  name = kept[1], data = kept[2] or '{}', number = ARGV[10], now = now, head = ARGV[11], rule = ARGV[12],
  rest = ARGV[13], pattern = not every, priority = tonumber(ARGV[14]), lifo = ARGV[15] == '1',
})
return { 'made', job, ms, overlaps }
