//! What every adapter of [`Store`](super::Store) must do, as stories told over `&dyn Store`.
//!
//! An adapter's tests say `store_contract!(open)`, where `open()` gives something with an empty store in its field `store`. Each story
//! becomes a test of its own there.

mod arriving;
mod desired;
mod enrolling;
mod fixtures;
mod inviting;
mod pushing;
mod queue;
mod queueing;
mod renewing;
mod users;

pub(super) use arriving::*;
pub(super) use desired::*;
pub(super) use enrolling::*;
pub(super) use fixtures::*;
pub(super) use inviting::*;
pub(super) use pushing::*;
pub(super) use queue::*;
pub(super) use queueing::*;
pub(super) use renewing::*;
pub(super) use users::*;

macro_rules! store_contract {
    ($open:path) => {
        store_contract! { $open:
            an_invitation_is_used_once,
            a_request_may_come_again_until_its_certificate_is_used,
            a_request_may_not_come_again_without_end,
            an_invitation_expires,
            an_invitation_is_only_for_the_device_it_names,
            the_fleet_and_labels_come_from_the_invitation,
            nobody_enrols_with_a_certificate_that_was_not_issued_for_them,
            an_invitation_that_names_nobody_is_the_first_devices_that_comes,
            a_certificate_that_was_never_used_may_be_issued_anew,
            the_same_message_gets_the_answer_that_was_kept_first,
            a_certificate_bound_to_hardware_enrols_no_other,
            authenticate_may_be_repeated_and_begins_anew,
            a_new_invitation_replaces_an_enrolment_and_the_old_certificate_is_withdrawn,
            an_older_certificate_does_not_come_back,
            an_ended_enrolment_is_refused_until_invited_again,
            a_device_told_to_go_needs_a_new_invitation,
            a_new_enrolment_begins_empty_and_keeps_its_history,
            the_life_of_an_enrolment_is_recorded_once,
            two_spellings_of_one_name_are_not_two_devices,
            token_updates_are_counted_and_refused_without_an_enrolment,
            a_dead_push_address_is_forgotten_unless_it_was_registered_since,
            a_refused_push_address_is_kept_until_another_or_another_chance_comes,
            topics_are_counted_by_devices,
            enrolments_are_listed_in_pages,
            the_lookup_by_certificate_is_never_out_of_date,
            a_renewed_certificate_and_the_one_before_are_both_accepted_until_it_is_used,
            a_renewed_certificate_that_was_used_is_the_pin_and_the_one_before_ends,
            a_renewal_may_be_asked_for_again_when_its_answer_got_lost,
            a_renewal_carries_the_enrolment_on_and_nobody_elses,
            only_a_pinned_certificate_is_renewed,
            a_certificate_that_ran_out_is_renewed_within_a_grace_and_gives_no_other_right,
            authenticate_with_a_renewed_certificate_goes_on_where_the_enrolment_was,
            a_new_invitation_after_a_renewal_begins_anew_and_withdraws_both,
            leaving_withdraws_renewed_certificates_too,
            last_seen_only_moves_forward,
            system_versions_are_kept,
            an_arrival_is_enrolled_with_its_certificate_and_its_secrets,
            arriving_twice_changes_nothing_and_arriving_otherwise_only_what_differs,
            who_has_been_in_contact_is_left_as_it_is,
            one_that_cannot_be_taken_over_keeps_nobody_else_from_it,
            users_arrive_after_their_device,
            a_users_channel_is_an_enrolment_of_its_own,
            users_are_pointed_at_manifests_of_their_own,
            users_end_with_their_device,
            a_users_end_is_not_its_devices,
            a_device_that_makes_users_up_fills_no_disk,
            what_is_in_safe_keeping_is_given_to_its_owner_alone,
            safe_keeping_ends_with_the_enrolment,
            who_waits_in_setup_assistant_is_found,
            a_renewal_takes_neither_secrets_nor_users_away,
            commands_come_in_order_and_byte_for_byte,
            a_chain_is_delivered_in_order_and_keeps_nobody_waiting,
            not_now_comes_back_at_the_next_idle,
            a_stuck_command_is_parked,
            commands_past_their_deadline_expire,
            reports_are_idempotent,
            equal_intents_collapse,
            a_uuid_is_queued_once,
            unknown_devices_do_not_keep_forty_thousand_commands_from_the_others,
            enqueues_and_reports_at_the_same_time_lose_nothing,
            devices_with_pending_commands_are_listed,
            ending_an_enrolment_cancels_its_commands,
            the_urgent_goes_first_and_takes_its_chain_along,
            a_person_cancels_one_command_and_no_other,
            the_very_same_command_is_not_given_twice,
            a_personal_device_is_never_erased_whoever_queues_it,
            every_kind_of_command_survives_a_not_now,
            a_broadcast_reaches_everybody_once,
            a_report_and_what_is_next_are_one_step_or_two,
            manifests_are_kept_by_content,
            only_changed_pointers_are_written,
            devices_are_not_pointed_at_what_is_not_kept,
            the_previous_manifest_is_kept_until_the_new_one_is_proved,
            manifests_that_nothing_points_at_are_removed,
            what_a_device_was_told_of_is_kept_over_any_number_of_moves,
            what_a_device_lacks_is_kept_until_it_enrols_again,
            facts_change_one_after_the_other,
            facts_of_an_enrolment_that_is_over_are_not_kept,
            verdicts_and_transitions_are_recorded_together,
            changes_are_told_after_they_can_be_seen,
        }
    };
    ($open:path: $($story:ident),+ $(,)?) => { $(
        #[tokio::test]
        async fn $story() {
            let opened = $open();
            $crate::store::contract::$story(&opened.store).await;
        }
    )+ };
}
pub(super) use store_contract;
