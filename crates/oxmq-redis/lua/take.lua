--[[ take: gives jobs that are due, each with a lock.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1..8] a demand: now ms, limit, token ('0': no lock), lease ms, worker's name or '', the worker's rate limit: takes or
           '', window ms or ''; '1' if a limit by hand is passed over without a rate
  RETURNS  {jobs, why, at} as take() in shared/take.lua says
  ERRORS   none
  MOVES    delayed -> waiting, prioritized (due); waiting, prioritized -> active
  EVENTS   waiting (prev delayed), active
  COST     O(D log N + limit), D = delayed jobs due, at most 1,000 per call ]]
return take(q, read_demand(1))
