--[[ job: one job and where it is.
  KEYS     those that stand for the queue's (shared/keys.lua)
  ARGV[1]  id
  RETURNS  as view() in shared/view.lua; false if there is no such job
  ERRORS   none
  MOVES    none                                             EVENTS none
  COST     O(N), N = jobs in active and wait ]]
return view(q, ARGV[1], state_of(q, ARGV[1]))
