"""What went wrong in other registries and logs, and the test here that would fail if it did so too.

Each row is a published finding or complaint: block/buzz, ProbOS, conductai, flare19, dfinity,
ConductionNL/openregister, PyPI's warehouse and its audits, GOV.UK's registers, Tessera and Trillian, X-Road, logs of
Certificate Transparency.
"""

from __future__ import annotations

import ast
from typing import Any

import asyncpg
import pytest

from tests.support import ROOT

VERIFICATION = "audit/test_verification.py"
LOG = "audit/test_log.py"
IDENTITY = "accounts/test_identity.py"
MATRIX = "accounts/test_matrix.py"

FAILURES: dict[str, tuple[str, ...]] = {
    # logs that were to show tampering
    "verify is there, and nothing calls it": (
        f"{LOG}::test_nothing_is_signed_that_was_altered",
        "cli/test_log.py::test_an_outsider_verifies_what_a_registry_signed",
    ),
    "a cut prefix or tail passes": (
        f"{VERIFICATION}::test_every_tampering_is_found_by_name_and_by_both_verifiers",
        f"{LOG}::test_after_a_lost_tail_a_new_log_owns_up_to_it",
    ),
    "segments or the tail hang on nothing outside": (
        f"{VERIFICATION}::test_a_head_seen_before_anchors_the_tail",
        "audit/test_witness.py::test_what_a_witness_saw_outlives_it_and_stops_a_rewritten_log",
    ),
    "instants are written with another precision than they are verified with": (
        "audit/test_events.py::test_the_set_based_event_is_the_single_one_byte_by_byte",
    ),
    "concurrent writers fork the chain": (f"{LOG}::test_concurrent_writers_and_sequencers_neither_fork_nor_skip",),
    "a late commit gets no place": (f"{LOG}::test_a_transaction_that_commits_late_is_not_lost",),
    "bulk loads go past the log": ("records/imports/test_logged.py::test_an_imports_events_are_in_the_log_each_once",),
    "a change by another way than the one that is audited": (
        f"{MATRIX}::test_ones_own_answers_and_anothers_never_was",
        "accounts/test_routes.py::test_whatever_an_administrator_changes_is_in_the_audit_log",
    ),
    "the log is there, and nobody extends or signs it": (
        "cli/test_external.py::test_the_job_runner_ends_when_nobody_extends_the_log",
        "cli/test_log.py::test_an_outsider_verifies_what_a_registry_signed",
    ),
    "a range that was not looked at counts as verified": (
        f"{VERIFICATION}::test_a_log_that_holds_says_how_much_was_checked",
        f"{VERIFICATION}::test_a_later_export_adds_what_is_new",
    ),
    "what is read of the log holds, what is shown of it does not follow": (
        "records/test_proofs.py::test_an_answer_that_was_changed_does_not_hold",
        "records/test_proofs.py::test_a_profile_that_was_changed_does_not_hold",
    ),
    "more is there than was signed, and nobody looks at it": (
        "audit/test_forgeries.py::test_every_forgery_is_found_by_name_and_by_both_verifiers",
        "audit/test_forgeries.py::test_what_an_older_export_left_must_begin_what_took_its_place",
    ),
    "one of several logs is left out": (
        "audit/test_forgeries.py::test_no_year_is_left_out_cut_back_or_put_in_anothers_place",
        "audit/test_forgeries.py::test_a_log_that_owned_up_to_a_loss_loses_no_more",
    ),
    "a witness counts twice, or the log as its own": (
        "audit/test_forgeries.py::test_each_witness_counts_once_and_the_log_is_none",
    ),
    "a proof is of what is not shown, and what is shown has none": (
        "records/test_forged_answers.py::test_a_record_says_what_its_proofs_say_and_all_of_it",
        "records/test_forged_answers.py::test_a_profile_is_proved_whatever_it_calls_itself",
        "records/test_forged_answers.py::test_what_can_be_read_in_two_ways_is_no_answer",
    ),
    "a place in the log is taken for a signed one": (
        "records/test_proofs.py::test_each_audience_can_prove_what_it_is_shown_and_learns_no_more",
    ),
    "whoever holds the key and the log writes it anew": (
        "audit/test_witness.py::test_what_a_witness_saw_outlives_it_and_stops_a_rewritten_log",
    ),
    "deleting everything verifies": (
        f"{LOG}::test_an_emptied_database_is_not_signed_as_a_new_log",
        f"{VERIFICATION}::test_an_empty_log_and_no_key_prove_nothing",
    ),
    "empty hashes are skipped, so that nothing is checked": (
        "audit/test_failures_of_others.py::test_nothing_that_is_verified_can_be_missing",
        f"{VERIFICATION}::test_a_log_that_holds_says_how_much_was_checked",
    ),
    "only the outer names are sorted": (
        "audit/test_events.py::test_canonical_bytes_are_those_of_another_implementation",
    ),
    "the first entry hangs on a seed that is stale": (f"{LOG}::test_a_year_begins_with_the_head_of_the_year_before",),
    "the event is lost on the error path": (
        "audit/test_events.py::test_a_change_whose_event_cannot_be_written_does_not_happen",
        "audit/test_events.py::test_a_change_that_rolls_back_leaves_no_event",
    ),
    "the event gives away what it protects": (
        "audit/test_events.py::test_an_event_says_who_what_and_under_which_request",
        "records/test_proofs.py::test_each_audience_can_prove_what_it_is_shown_and_learns_no_more",
    ),
    "history can be changed by the service": (
        "platform/test_privileges.py::test_history_is_only_added_to",
        f"{LOG}::test_the_service_cannot_change_the_log",
    ),
    # GOV.UK registers
    "a hash without salt can be guessed": ("audit/test_events.py::test_a_commitment_depends_on_its_salt",),
    "a redaction breaks the proofs": ("records/test_proofs.py::test_erasing_content_leaves_every_proof_valid",),
    "a wrong entry cannot be put right": ("records/test_life.py::test_every_state_and_action_has_its_place",),
    "a load or a mirror cannot tell whether it has everything": (
        "exchange/test_changes.py::test_a_mirror_checks_itself_against_the_days_digest",
        "exchange/test_changes.py::test_a_reader_who_was_away_misses_nothing_of_concurrent_writers",
    ),
    "when the service ends, nothing can be verified any more": (
        f"{VERIFICATION}::test_the_independent_verifier_is_short_and_ours_in_nothing",
        "cli/test_log.py::test_an_outsider_verifies_what_a_registry_signed",
    ),
    # logs of Certificate Transparency, Tessera
    "one flipped bit is signed and ends the log": (
        f"{LOG}::test_nothing_is_signed_that_was_altered",
        f"{VERIFICATION}::test_tampering_with_the_database_is_found_by_name",
    ),
    "a crash leaves half a batch": (f"{LOG}::test_a_crash_between_batches_leaves_whole_batches",),
    "a failing disk is not noticed": (
        "faults/test_storm.py::test_nothing_acknowledged_is_lost_and_nothing_else_half_done",
    ),
    "a place is given twice, or given before it is kept": (
        f"{LOG}::test_every_event_has_one_place_and_no_place_is_empty",
        f"{LOG}::test_in_another_cluster_transaction_numbers_start_anew",
    ),
    "a second signature breaks those who do not know it": (
        "audit/test_sm2.py::test_who_does_not_know_sm2_passes_over_it",
    ),
    "proofs of another implementation fail": (
        "audit/test_merkle.py::test_inclusion_vectors_of_the_reference_implementation",
        "audit/test_merkle.py::test_consistency_vectors_of_the_reference_implementation",
    ),
    "one log grows for ever": (f"{LOG}::test_a_year_begins_with_the_head_of_the_year_before",),
    "a long list in one statement is one too long": (
        "supervision/screening/test_screening.py::test_limits_and_an_unknown_scenario",
        "accounts/test_accesses.py::test_two_large_answers_wait_for_room_and_a_log_that_fails_turns_them_away",
    ),
    "writers wait for each other's locks without end": (
        "accounts/test_limits.py::test_who_waits_too_long_for_a_lock_is_told_to_come_back",
    ),
    "one refused insert leaves half of the change": (
        "audit/test_events.py::test_a_change_whose_event_cannot_be_written_does_not_happen",
    ),
    "the clock goes back": ("faults/test_workflows.py::test_the_clock_is_stepped_a_day_and_more",),
    "stale and wrong heads are cosigned": ("audit/test_witness.py::test_the_answers_of_the_protocol",),
    # X-Road
    "a service without its parts says it is well": ("test_app.py::test_not_ready_without_its_database",),
    "without evidence it answers on": ("accounts/test_accesses.py::test_without_a_log_nothing_non_public_is_shown",),
    "and never recovers after the outage": (
        "accounts/test_accesses.py::test_without_a_log_nothing_non_public_is_shown",
        "accounts/test_openid.py::test_rotation_is_followed_and_an_outage_survived",
    ),
    "who is to countersign is away, and everything stops": (
        "audit/test_witness.py::test_the_log_waits_for_no_witness",
        "audit/test_witness.py::test_a_witness_in_another_process",
        "audit/test_sm2.py::test_a_device_signs_and_the_log_does_not_wait_for_one",
    ),
    "who is to countersign answers anything at all": (
        "audit/test_witness.py::test_a_witness_that_answers_anything_keeps_no_other_from_being_asked",
    ),
    "evidence needs the service that made it": (
        "records/test_proofs.py::test_one_command_knows_what_a_file_is",
        "supervision/screening/test_screening.py::test_the_signature_is_verified_offline_by_ten_lines_of_other_code",
    ),
    "archives and downloads leave their folder": (
        "audit/test_merkle.py::test_what_names_no_tile",
        "platform/test_backup.py::test_what_is_no_backup_or_holds_more_is_refused",
    ),
    "memory grows with what is archived": ("evidence/test_attachments.py::test_memory_stays_flat",),
    "a backup fails unnoticed, or restores what it should not": (
        "platform/test_backup.py::test_a_failed_backup_leaves_nothing",
        "platform/test_backup.py::test_a_damaged_backup_is_refused",
        "platform/test_backup.py::test_with_the_archive_it_opens_at_the_instant_asked_for",
        "platform/test_backup.py::test_an_instant_the_archive_does_not_reach_is_no_restore",
    ),
    "a backup cannot be taken where the service runs": ("deploy/test_roles.py::test_a_backup_is_taken_and_whole",),
    "a restored log is not looked at": (
        "platform/test_restore_drill.py::test_a_restored_installation_proves_its_log_to_an_outsider",
    ),
    "those looked at do not learn of it": (
        "accounts/test_accesses.py::test_the_subject_sees_who_looked_and_an_investigation_when_it_may",
        f"{MATRIX}::test_what_an_agency_reads_of_a_subject_is_in_the_access_log",
    ),
    # access control
    "a route without a check": (
        "test_app.py::test_every_route_declares_one_permission",
        "test_app.py::test_a_route_without_a_permission_keeps_the_service_from_starting",
        "test_app.py::test_each_role_meets_each_route",
    ),
    "an id is enough to reach another's object": (f"{MATRIX}::test_ones_own_answers_and_anothers_never_was",),
    "a list shows another's objects": (
        f"{MATRIX}::test_a_list_holds_ones_own_and_nothing_of_anothers",
        f"{MATRIX}::test_no_filter_and_no_cursor_brings_anothers_objects",
        f"{MATRIX}::test_figures_count_nothing_of_anothers",
    ),
    "another's token can be revoked": (f"{IDENTITY}::test_a_revoked_token_is_refused_within_half_a_minute",),
    "an administrator's change leaves no trace": (
        "accounts/test_routes.py::test_whatever_an_administrator_changes_is_in_the_audit_log",
    ),
    "a stolen token is as good as one's own": (
        f"{IDENTITY}::test_a_token_asked_for_with_a_certificate_is_good_on_its_connections_only",
        "deploy/test_proxy.py::test_a_token_is_good_on_its_certificates_connections_only",
    ),
    "a replayed assertion is forgotten too early": (
        f"{IDENTITY}::test_a_used_assertion_is_remembered_as_long_as_it_could_be_accepted",
    ),
    "an assertion is looked up and then used": (f"{IDENTITY}::test_of_a_hundred_replays_at_once_one_wins",),
    "privileges outlive their removal": (
        "accounts/test_routes.py::test_a_disabled_client_is_out_within_half_a_minute",
        "accounts/test_routes.py::test_a_token_dies_with_its_agency",
        f"{IDENTITY}::test_a_revoked_token_is_refused_within_half_a_minute",
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_each_failure_has_its_tests(failure: str) -> None:
    for named in FAILURES[failure]:
        file, _, name = named.partition("::")
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in defined, named


VERIFIED = {
    ("audit_event", "canonical"),
    ("audit_event", "uscc"),
    ("log_entry", "leaf_hash"),
    ("log_entry", "sequence"),
    ("log_tile", "hashes"),
    ("log_checkpoint", "note"),
}


async def test_nothing_that_is_verified_can_be_missing(owner: asyncpg.Connection[Any]) -> None:
    rows = await owner.fetch(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND is_nullable = 'NO'"
    )
    assert {(row["table_name"], row["column_name"]) for row in rows} >= VERIFIED
