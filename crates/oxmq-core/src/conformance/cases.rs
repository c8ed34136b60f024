//! The list of all cases, and what is made of it. Whoever writes a case adds its name here; a test checks that
//! none was forgotten.

/// Runs the whole behaviour suite on a store: one test per case, in a module of this name.
///
/// The second argument makes a new bench with an empty store; it is run once for each case, and may `.await`. It
/// sees the names of the place where the macro is called.
///
/// ```
/// # #[cfg(test)] mod tests {
/// use std::sync::Arc;
/// use oxmq_core::conformance::ModelStore;
///
/// oxmq_core::conformance!(model, Arc::new(ModelStore::new()));
/// # }
/// ```
#[macro_export]
macro_rules! conformance {
    ($module:ident, $bench:expr) => {
        $crate::conformance_cases! { conformance_tests [$module, $bench] }
    };
}

/// Gives every case to another macro: `verb { case case .. } ..`, after the arguments in brackets.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($then:ident $args:tt) => {
        $crate::$then! {
            $args
            add {
                a_job_comes_back_as_it_was_added
                json_is_kept_byte_for_byte
                large_data_and_odd_texts_survive
                options_survive_with_members_that_are_not_known
                ids_are_counted_from_one
                a_job_with_an_id_of_its_own_spends_a_number
                a_duplicate_spends_a_number
                ids_are_not_given_again_after_a_removal
                an_own_id_can_be_used_again_after_a_removal
                a_duplicate_changes_nothing_and_says_so
                a_duplicate_tells_the_state_the_job_is_in
                a_duplicate_within_one_group_is_found
                jobs_of_one_call_keep_what_each_was_given
                a_hundred_jobs_of_one_call_keep_what_each_was_given
                groups_are_answered_each_in_order
                an_add_of_nothing_is_answered_with_nothing
                a_group_of_a_thousand_keeps_its_order
                waiting_jobs_come_first_in_first_out
                waiting_jobs_come_before_prioritized_ones
                smaller_priorities_come_first_and_equals_in_the_order_added
                many_equals_stay_in_the_order_added
                lifo_jobs_go_to_the_front
                a_priority_beats_lifo
                a_delayed_job_is_due_at_its_timestamp_and_its_delay
                a_delayed_job_whose_time_is_past_waits_for_a_take
                a_delay_of_zero_is_none
                a_delay_comes_before_a_priority
                delayed_jobs_are_in_order_of_their_time
                a_timestamp_of_its_own_is_kept
                a_job_counts_as_created_when_it_was_made
                calls_take_effect_in_the_order_in_which_they_began
                a_paused_queue_takes_jobs_as_always
                an_add_tells_added_and_then_where_the_job_is
                queues_and_prefixes_are_separate
            }
            add_flow {
                a_parent_waits_for_its_children
                a_child_knows_its_parent
                a_job_that_stands_alone_can_be_deduplicated
                a_tree_ends_from_its_leaves_to_its_root
                nodes_take_effect_level_by_level
                each_node_spends_a_number
                leaves_go_where_their_options_say
                a_parents_delay_and_priority_count_when_it_is_released
                a_released_parent_is_next
                parents_are_listed_by_when_they_began_to_wait
                whoever_waits_is_woken_for_a_leaf_and_for_a_released_parent
                a_flow_may_hang_from_a_job_that_is_there
                a_flow_whose_roots_parent_is_missing_is_not_added
                a_flow_with_somebody_elses_child_is_not_added
                a_flow_with_a_child_that_has_failed_is_not_added
                a_job_that_is_there_becomes_a_child
                a_parent_whose_children_have_all_completed_runs_at_once
                a_flow_that_is_added_again_stays_as_it_is
                the_same_job_twice_in_a_flow_is_one
                a_later_flow_of_a_call_knows_the_earlier_ones
                no_job_waits_for_itself
                the_rest_of_a_refused_flow_is_kept_if_asked
                a_tree_that_is_none_is_invalid
                a_flow_of_a_thousand_jobs_is_added_and_ends
                a_child_is_added_to_a_parent_that_runs
                a_group_whose_parent_is_missing_is_not_added
                a_group_may_bring_the_parent_itself
                a_child_that_has_completed_counts_at_once
                a_child_of_somebody_else_is_refused
                ids_with_colons_are_found_again
            }
            announce {
                a_worker_is_listed_with_all_it_says
                a_worker_is_gone_when_its_time_is_over
                a_worker_may_announce_itself_anew
                a_worker_that_says_it_announced_itself_before_is_listed_whatever_is_true
                a_worker_may_say_good_bye
                workers_belong_to_one_queue
                an_announcement_tells_no_event
            }
            cancel {
                a_job_that_has_not_started_fails_at_once
                a_job_that_is_not_there_cannot_be_cancelled
                a_finished_job_is_not_cancelled
                the_worker_of_a_running_job_is_asked
                a_worker_that_is_not_known_cannot_be_reached
                a_worker_waits_for_requests
                requests_that_came_before_the_wait_are_found
                requests_for_others_are_not_told
                a_request_is_not_told_after_the_attempt
                the_first_request_stands
                a_cancelled_job_can_be_retried_by_hand
            }
            children {
                each_kind_tells_what_became_of_the_child
                the_counts_are_of_all_kinds
                kinds_come_in_the_order_asked_for
                pages_have_no_gap_no_double_and_an_end
                many_children_are_given_page_by_page
                children_that_end_between_pages_hide_no_others
                a_job_without_children_has_none
                what_a_parent_knows_goes_with_it
            }
            clean {
                finished_jobs_that_are_old_are_removed_oldest_first
                the_finish_counts_and_not_the_creation
                only_the_state_asked_for_is_cleaned
                waiting_jobs_count_by_their_creation_only
                delayed_jobs_count_by_their_age_whenever_they_are_due
                a_delayed_job_that_ran_counts_by_its_last_start
                prioritized_jobs_are_cleaned_in_their_order
                running_jobs_are_cleaned_only_without_a_lease
                nothing_old_is_nothing_cleaned
            }
            close {
                a_store_says_what_it_is
                a_closed_store_answers_that_it_is_closed
            }
            dedup {
                a_second_job_with_the_id_is_not_added
                the_answer_tells_where_the_owner_is
                the_id_is_free_when_the_owner_has_ended
                a_try_that_failed_frees_nothing
                a_job_that_is_cancelled_frees_the_id
                an_id_with_a_ttl_is_taken_whatever_becomes_of_the_owner
                a_ttl_may_end_before_the_owner_does
                an_owner_that_retention_removed_stands_for_others_until_its_ttl_is_over
                an_id_without_a_ttl_whose_owner_is_gone_is_free
                extending_begins_the_ttl_anew
                a_delayed_owner_is_replaced_if_asked
                a_replacement_that_does_not_extend_has_what_is_left_of_the_ttl
                an_owner_that_is_not_delayed_is_not_replaced
                a_delayed_owner_is_rescheduled_if_asked
                the_last_job_that_came_while_the_owner_ran_is_run_after_it
                the_next_job_comes_after_a_failure_too
                the_take_of_a_finish_gets_the_next_job
                the_next_job_goes_to_its_place
                a_kept_job_whose_own_id_is_there_by_then_is_not_added
                a_ttl_has_no_effect_with_keep_last
                a_job_that_is_removed_by_hand_frees_the_id
                the_removal_of_another_job_frees_nothing
                the_kept_job_goes_with_an_owner_that_is_removed
                retention_frees_no_id
                earlier_jobs_of_one_call_are_seen
                an_own_id_that_is_there_already_comes_first
                an_id_can_be_released
                a_release_leaves_the_kept_job
                a_kept_job_waits_for_the_owner_and_not_for_one_that_was
                of_many_at_once_one_is_created
                ids_of_queues_and_prefixes_are_separate
            }
            detach {
                a_detached_child_has_no_parent
                the_last_one_that_is_detached_releases_the_parent
                a_child_that_has_ended_is_not_detached
                both_must_be_there
                a_detached_child_may_have_another_parent
            }
            drain {
                what_waits_is_removed_and_nothing_else
                delayed_jobs_go_too_if_asked
                a_queue_is_drained_step_by_step
                an_empty_queue_is_drained_at_once
                ids_go_on_after_a_drain
            }
            extend {
                a_lease_that_is_extended_lasts_longer
                a_lease_lasts_from_the_time_of_the_call
                a_lease_that_ran_out_but_was_not_recovered_is_kept
                each_lease_is_answered_in_order
                a_lease_is_lost_when_the_job_was_recovered
                an_extension_tells_of_a_request_to_cancel_each_time
                an_extension_tells_nothing
            }
            finish {
                a_completed_job_has_its_result
                a_failed_job_has_its_reason_and_stacks
                a_failure_without_stacks_leaves_those_that_are_there
                the_reason_of_an_earlier_try_survives_a_success
                a_completion_tells_completed_and_drained
                retries_exhausted_is_told_when_all_tries_are_used_up
                a_retry_at_once_goes_to_the_back
                a_retry_of_a_lifo_job_goes_to_the_front
                a_retry_of_a_job_with_a_priority_goes_behind_its_equals
                a_retry_later_is_delayed
                a_postponed_job_spends_no_attempt
                a_job_that_is_postponed_into_the_past_is_due_now
                a_returned_job_runs_next_and_spends_no_attempt
                a_returned_job_with_a_priority_goes_before_its_equals
                drained_is_told_when_the_last_job_has_ended
                drained_is_not_told_while_jobs_wait
                drained_is_not_told_for_a_job_that_comes_back
                drained_is_told_with_delayed_jobs_only_when_nothing_is_asked_for
                drained_is_told_after_a_take_that_found_nothing
                drained_is_not_told_after_a_take_from_a_held_queue
                a_finish_takes_the_next_jobs
                a_finish_may_take_back_the_job_it_ended
                a_finish_of_nothing_only_takes
                a_refused_ending_leaves_the_others_alone
                the_same_ending_twice_in_one_call_is_refused_once
                endings_of_a_job_that_is_gone_are_refused
                endings_of_a_job_held_by_another_are_refused
                endings_of_a_job_that_nobody_holds_are_refused
                endings_without_locking_of_a_job_that_is_not_active_are_refused
                endings_without_locking_pass_every_check
                a_token_cannot_end_a_job_that_was_taken_without_locking
                a_lease_that_ran_out_is_good_until_somebody_recovers
                an_old_lease_is_good_again_if_the_same_token_took_the_job_again
                a_request_to_cancel_stops_an_ending_that_does_not_heed_it
                a_request_to_cancel_dies_with_the_attempt
                endings_of_one_call_are_written_in_order
                endings_of_one_call_leave_the_other_jobs_active_as_they_are
                an_exchange_finishes_and_takes_or_only_takes
            }
            limit {
                a_limited_queue_gives_nothing_until_then
                a_limit_can_be_lifted
                a_limit_can_be_shortened_and_extended
                a_limit_tells_no_event
                due_jobs_are_promoted_in_a_limited_queue
                a_limit_holds_one_queue_only
                drained_is_not_told_after_a_take_from_a_limited_queue
                a_rate_limit_gives_so_many_in_a_window
                a_window_begins_with_its_first_take
                a_rate_limit_counts_for_the_whole_queue
                a_take_without_a_rate_limit_is_not_held_by_the_window
                jobs_that_must_fail_do_not_count
                the_take_of_a_finish_is_rate_limited_too
                a_queue_without_limits_says_so
                limits_are_told_as_they_were_set
                no_more_jobs_are_active_than_the_queue_allows
                every_way_out_of_active_frees_a_place
                a_limit_below_what_is_active_lets_that_end
                no_more_jobs_are_active_though_many_take_at_once
                due_jobs_are_promoted_in_a_full_queue
                a_wait_ends_when_a_place_is_free
                a_job_that_comes_to_a_full_queue_is_taken_when_a_place_is_free
                a_rate_of_the_queue_holds_for_all_workers
                of_two_rates_the_max_is_the_queues_and_the_window_the_workers
                a_rate_and_a_concurrency_hold_both
                lifting_a_limit_begins_the_window_anew
                a_limit_by_hand_may_hold_only_for_workers_with_a_rate
                the_window_that_runs_is_told
                obliterating_forgets_the_limits
            }
            listen {
                an_event_of_the_users_own_is_read_as_it_was_written
                events_are_read_from_the_oldest_on_page_by_page
                a_reader_goes_on_after_any_event
                now_is_the_end_of_the_stream
                now_in_an_empty_queue_loses_nothing
                a_read_without_patience_is_answered_at_once
                a_reader_that_waits_is_woken
                a_reader_that_waits_in_vain_keeps_its_place
                several_readers_see_the_same
                the_newest_ten_thousand_events_are_kept_and_a_gap_is_told
                events_tell_when_they_were_written
                old_events_go_when_asked_and_the_newest_stay
                a_queue_keeps_as_many_events_as_it_is_told
            }
            look {
                an_unknown_queue_is_empty
                jobs_are_counted_in_each_state
                each_state_has_its_order_in_both_directions
                states_are_one_sequence_that_is_cut_into_pages
                a_long_list_is_read_page_by_page
                queues_are_listed_by_name_with_their_pause
                a_drained_queue_is_still_listed
                waiting_jobs_are_counted_by_priority
                delayed_jobs_are_counted_by_when_they_are_due
            }
            meta {
                fields_are_kept_until_they_are_removed
                what_is_set_and_removed_in_one_call_is_gone
                a_field_makes_a_queue_that_is_there
                what_other_calls_set_is_a_field
                a_field_does_what_the_call_of_its_meaning_does
                a_rate_needs_a_window_of_the_queues_or_the_workers
                the_number_of_events_that_are_kept_is_a_field
                whoever_waits_is_woken_when_a_field_lets_jobs_run
                an_obliterated_queue_has_no_fields
            }
            metrics {
                nothing_is_counted_unless_the_worker_counts
                the_minute_that_runs_is_no_point_yet
                minutes_in_which_nothing_ended_are_points_too
                the_newest_points_are_kept
                the_last_minute_before_a_long_pause_is_the_oldest_point
                completed_and_failed_jobs_are_counted_apart
                jobs_that_are_removed_at_once_are_counted
                what_has_not_ended_is_not_counted
                points_are_read_page_by_page
                a_clock_that_runs_behind_makes_no_points
                a_great_many_points_are_kept
                queues_are_counted_apart_and_forgotten_when_obliterated
            }
            note {
                progress_is_kept_and_told
                new_data_takes_the_place_of_the_old_silently
                notes_are_written_in_any_state
                notes_about_a_job_that_is_not_there_are_refused
                log_lines_are_counted_and_kept_in_order
                logs_are_read_page_by_page_in_both_directions
                only_the_newest_lines_are_kept_if_asked
                logs_are_cleared_but_for_the_newest
                logs_of_jobs_are_separate
            }
            obliterate {
                afterwards_the_queue_was_never_there
                afterwards_ids_begin_at_one
                afterwards_the_window_of_a_rate_limit_is_gone
                it_is_done_step_by_step
                it_is_refused_while_jobs_are_active
                by_force_active_jobs_go_too
                an_empty_queue_can_be_obliterated
                other_queues_stay
            }
            parents {
                a_failure_without_a_choice_keeps_the_parent_waiting
                a_failure_that_fails_the_parent_is_deferred_to_its_worker
                a_failure_climbs_one_level_at_a_time
                a_parent_that_is_to_fail_does_not_wait_for_its_delay
                a_delayed_parent_that_is_to_fail_is_delayed_no_more
                a_running_parent_is_told_by_its_deferred_failure
                the_last_failure_is_the_one_that_is_told
                a_failure_after_which_the_parent_goes_on
                a_failure_that_is_ignored
                a_failure_that_is_forgotten
                a_failure_that_is_tried_again_tells_nobody
                a_child_that_dies_with_its_worker_is_still_waited_for
                a_parent_that_is_gone_minds_nothing
                cancelling_a_child_counts_as_its_failure
                a_cancelled_parent_leaves_its_children
                a_running_job_waits_for_its_children
                a_job_with_nothing_to_wait_for_runs_again_next
                a_job_may_wait_for_one_child
                a_wait_for_children_needs_the_lease
                a_job_that_waits_for_children_holds_no_lease
                a_parent_does_not_complete_before_its_children
                a_lease_is_looked_at_before_the_children
                without_a_lease_the_children_are_looked_at_before_the_state
                a_child_and_its_parent_may_end_in_one_call
                a_released_parent_is_given_in_the_same_call
                the_result_of_a_child_that_is_not_kept_stays
                a_failed_child_that_is_not_kept_is_waited_for_no_more
                a_failed_child_that_retention_removes_is_waited_for_no_more
                a_failed_child_that_is_swept_is_waited_for_no_more
                a_removed_child_is_waited_for_no_more
                a_drain_takes_parents_of_the_same_queue_along
                a_clean_takes_parents_of_the_same_queue_along
                parents_that_wait_for_children_can_be_cleaned
                a_removed_child_never_takes_a_parent_along_that_does_not_wait
                an_obliterated_queue_leaves_relatives_in_other_queues
                a_child_that_is_retried_is_pending_again
                a_parent_that_was_to_fail_waits_again_when_the_child_is_retried
                a_running_parent_that_was_to_fail_may_complete_when_the_child_did
                a_parent_is_still_to_fail_for_another_child
                a_failed_parent_that_is_retried_runs
                a_parent_that_dies_with_its_worker_runs_again
                a_child_that_dies_too_often_fails_its_parent
            }
            pause {
                a_paused_queue_gives_nothing_and_says_so
                an_empty_queue_can_be_paused
                running_jobs_go_on_in_a_paused_queue
                due_jobs_are_promoted_in_a_paused_queue
                each_pause_and_resume_is_told
                a_pause_holds_one_queue_only
            }
            promote {
                a_promoted_job_runs_now
                a_promoted_job_with_a_priority_goes_to_its_place
                a_job_that_is_not_delayed_is_not_promoted
                all_are_promoted_step_by_step_earliest_first
                all_keep_their_priorities
                a_paused_queue_promotes_but_gives_none
            }
            recover {
                a_job_whose_lease_ran_out_waits_again_in_front
                a_lease_that_holds_is_left_alone
                jobs_that_are_not_active_are_left_alone
                a_job_with_a_priority_waits_in_front_too
                a_job_that_stalled_too_often_gets_a_deferred_failure
                without_patience_the_first_stall_is_too_often
                all_jobs_of_a_dead_worker_are_brought_back
                a_job_taken_without_locking_is_recovered_after_the_interval
                a_recovered_job_forgets_a_request_to_cancel
                a_recovered_job_waits_in_a_paused_queue_too
                a_queue_in_which_something_is_to_be_done_is_not_empty
                a_queue_of_finished_jobs_and_parents_that_wait_is_empty
                an_empty_queue_may_be_one_that_nobody_named
                other_queues_are_left_alone
            }
            remove {
                a_job_is_removed_from_any_state
                a_job_under_a_lease_stays
                a_running_job_without_a_lease_is_removed
                a_job_that_is_not_there_is_not_found
                the_log_goes_too
                its_neighbours_keep_their_places
                a_lease_that_ran_out_protects_no_more
                children_stay_if_only_the_job_goes
                children_go_with_the_job
                a_job_without_children_goes_alone
                the_parent_above_is_released_by_it
                nothing_goes_while_somebody_works_on_a_child
                children_that_have_another_parent_by_now_stay
                pending_children_go_and_the_job_runs
                pending_children_that_run_or_have_failed_stay
                a_deep_tree_goes_with_its_root
                many_children_leave_their_neighbours_in_their_places
            }
            reschedule {
                a_delayed_job_is_due_so_long_from_now
                a_delay_can_be_made_longer
                a_delay_of_zero_leaves_the_job_delayed_until_the_next_take
                only_a_delayed_job_has_a_delay_to_change
                a_new_priority_puts_the_job_behind_its_equals
                a_new_priority_with_lifo_puts_it_before_its_equals
                priority_zero_is_waiting
                the_same_priority_places_the_job_anew
                in_other_states_the_priority_counts_later
                a_job_that_is_not_there_has_no_priority
            }
            retention {
                everything_is_kept_if_nothing_is_said
                the_newest_are_kept_by_count
                a_count_of_zero_removes_the_job_itself
                old_ones_are_removed_when_another_finishes
                what_finished_just_so_long_ago_is_too_old
                an_age_of_nothing_removes_the_job_itself
                a_finish_removes_at_most_its_limit_of_old_ones
                age_and_count_hold_both
                completed_and_failed_jobs_are_kept_apart
                the_log_of_a_job_goes_with_it
                a_count_holds_for_each_ending_of_one_call
            }
            retry {
                a_failed_job_runs_again_as_if_it_had_not_ended
                a_completed_job_runs_again
                counters_are_reset_if_asked
                a_retried_job_goes_to_its_place
                a_job_in_another_state_is_not_retried
                many_are_retried_step_by_step_oldest_first
                many_keep_their_priorities
                many_of_one_state_leave_the_other_alone
            }
            schedule {
                a_schedule_of_every_begins_at_once
                every_begins_at_its_start_or_in_step_with_its_offset
                a_pattern_waits_for_the_time_it_is_given
                a_pattern_that_is_due_waits_at_once
                the_jobs_are_as_the_template_says
                a_job_of_a_schedule_wakes_who_waits
                starting_a_job_makes_the_next_one
                the_next_job_of_a_pattern_is_due_when_the_caller_says
                a_next_job_has_the_name_and_data_of_the_schedule_and_the_options_of_the_job
                only_the_current_job_makes_the_next_one
                slots_that_were_missed_are_left_out_in_step
                slots_that_were_missed_can_be_made_up_for
                a_schedule_ends_with_its_end
                a_schedule_that_has_nothing_next_makes_nothing
                a_slot_that_has_a_job_is_passed_over
                a_put_into_a_slot_that_has_a_job_is_refused
                the_same_every_keeps_its_slot
                another_every_begins_anew
                a_run_that_is_due_is_not_lost_by_a_put
                a_put_finds_the_job_that_waits_in_a_paused_queue
                a_put_leaves_a_job_that_runs_alone
                the_limit_counts_the_jobs_over_all_puts
                a_removed_schedule_takes_its_delayed_job_along
                a_removed_schedule_leaves_the_job_that_waits
                the_current_job_is_not_removed_or_cancelled_before_it_ended
                a_job_that_is_not_the_current_one_is_like_any_other
                draining_and_cleaning_spare_the_current_jobs
                cleaning_looks_behind_the_current_jobs
                an_obliterated_queue_has_no_schedules
                the_job_of_a_schedule_never_stalls_too_often
                a_run_of_an_earlier_slot_that_is_active_is_found
                a_schedule_is_shown_as_it_was_put
                schedules_are_listed_by_slot
                ids_of_schedules_may_be_any_text
                numbers_in_data_and_options_survive_each_run
                a_schedule_whose_job_failed_goes_on
            }
            sweep {
                jobs_whose_age_is_over_are_removed
                a_sweep_is_done_step_by_step
                a_job_that_runs_again_is_not_swept
            }
            take {
                a_taken_job_counts_its_start
                each_start_is_counted
                the_name_of_the_last_worker_stays_when_the_next_has_none
                no_job_is_given_twice
                no_job_is_given_to_two_who_ask_at_once
                one_token_may_hold_several_jobs
                a_take_is_told_when_nothing_is_there
                a_take_that_got_all_it_asked_for_is_not_idle
                a_take_that_got_less_is_told_when_the_next_is_due
                a_delayed_job_is_not_given_before_its_time
                due_jobs_go_behind_those_that_wait
                due_jobs_with_a_priority_go_to_their_place
                due_jobs_that_are_lifo_still_go_behind
                a_take_of_none_still_promotes_what_is_due
                a_take_promotes_a_bounded_number
                a_take_tells_promoted_and_then_active
                an_empty_take_tells_nothing
                a_job_taken_without_locking_has_no_lease
                a_lease_that_ran_out_does_not_free_the_job_by_itself
            }
            transitions {
                every_move_of_every_state_is_as_the_table_says
                the_same_holds_without_locking
                nothing_can_be_done_with_a_job_that_is_not_there
            }
            wait {
                a_wait_for_nothing_times_out
                a_wait_ends_when_a_job_is_added
                a_job_added_between_an_empty_take_and_the_wait_is_noticed
                no_wake_up_is_lost_in_a_race
                all_jobs_are_taken_when_several_wait
                a_wait_ends_when_the_queue_is_resumed
                a_wait_ends_when_a_limit_is_lifted
                a_wait_ends_when_a_job_comes_back
                a_wait_may_be_dropped
                a_job_in_another_queue_wakes_nobody_for_long
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ([$module:ident, $bench:expr] $($verb:ident { $($case:ident)* })*) => {
        mod $module {
            use super::*;
            $(
                mod $verb {
                    use super::*;
                    $(
                        #[test]
                        fn $case() {
                            $crate::conformance::block_on(async {
                                let harness = $crate::conformance::Harness::new($bench);
                                $crate::conformance::$verb::$case(&harness).await;
                            });
                        }
                    )*
                }
            )*

            #[test]
            fn random_operations_do_the_same_as_the_model() {
                $crate::conformance::random::check(|| async { $crate::conformance::Harness::new($bench) });
            }

            #[test]
            fn schedules_miss_and_double_no_slot_in_years() {
                $crate::conformance::block_on(async {
                    $crate::conformance::years::check(&$crate::conformance::Harness::new($bench)).await;
                });
            }
        }
    };
}

/// Every case as `"verb::case"`.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_names {
    ([] $($verb:ident { $($case:ident)* })*) => {
        [$($(concat!(stringify!($verb), "::", stringify!($case))),*),*]
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    /// Files with a campaign instead of cases; the macro names it by itself.
    const CAMPAIGNS: [&str; 1] = ["years"];

    #[test]
    fn no_case_is_forgotten() {
        let listed = conformance_cases! { conformance_names [] };
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conformance");
        let mut written = BTreeSet::new();
        for file in fs::read_dir(directory).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                let verb = path.file_stem().unwrap().to_string_lossy().into_owned();
                if CAMPAIGNS.contains(&verb.as_str()) {
                    continue;
                }
                for line in fs::read_to_string(&path).unwrap().lines() {
                    let name = line.strip_prefix("pub async fn ").and_then(|rest| rest.split_once("(bench"));
                    written.extend(name.map(|(name, _)| format!("{verb}::{name}")));
                }
            }
        }
        let names = listed.map(String::from).into_iter().collect::<BTreeSet<_>>();
        let differ: Vec<_> = names.symmetric_difference(&written).collect();
        assert!(differ.is_empty(), "listed or written, but not both: {differ:?}");
        assert_eq!(listed.len(), written.len(), "a case is listed twice");
    }
}
