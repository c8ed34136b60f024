  rare_functions = {
    child_completed = child_completed, child_failed = child_failed, dedup_finished = dedup_finished,
    delete_jobs = delete_jobs, keep_until = keep_until, apply_retention = apply_retention, count_ended = count_ended,
  }
  return rare_functions
end
