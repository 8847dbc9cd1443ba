"""Mistakes in what a leader tells others: its address, and Events."""

from __future__ import annotations

from typing import Final

from tests.mutants.mistakes import Mistake

KEEPER: Final = "publish/slice_keeper.py"
SLICE: Final = "publish/leader_slice.py"
WORKER: Final = "publish/worker.py"
ANNOUNCER: Final = "lifecycle/announcer.py"
IN_KEEPER: Final = "tests/publish/test_slice_keeper.py::"
IN_SLICE: Final = "tests/publish/test_leader_slice.py::"
IN_WRITER: Final = "tests/publish/test_event_writer.py::"
IN_WORKER: Final = "tests/publish/test_worker.py::"
IN_ANNOUNCER: Final = "tests/lifecycle/test_announcer.py::"
IN_ADDRESS: Final = "tests/publish/test_own_address.py::"

MISTAKES: Final = [
    # No former leader writes over a later one -----------------------------------------
    Mistake(
        name="an Event does not say why nothing was proved",
        file="lifecycle/announcer.py",
        old="        if event.no_proof:\n",
        new="        if False:\n",
        tests=(
            "tests/lifecycle/test_announcer.py::test_event_tells_what_was_found_out_of_who_led_before",
        ),
    ),
    Mistake(
        name="a late write of an address is sent after the loss",
        file=KEEPER,
        old=(
            "        # After the read and before the write: no later leader can have "
            "written between.\n        if not lead.still():"
        ),
        new="        if not lead:",
        tests=(f"{IN_KEEPER}test_nothing_is_sent_after_the_loss",),
    ),
    Mistake(
        name="a slice is created after the loss",
        file=KEEPER,
        old=(
            "        if isinstance(found, NotFound):\n            if not lead.still():"
        ),
        new=("        if isinstance(found, NotFound):\n            if not lead:"),
        tests=(f"{IN_KEEPER}test_nothing_is_sent_after_the_loss",),
    ),
    Mistake(
        name="whether the term lasts is looked at before the slice is read",
        file=KEEPER,
        old="        leader, place = lead.leader, self._place\n",
        new=(
            "        leads = lead.still()\n"
            "        lead = Lead(leader=lead.leader, still=lambda: leads)\n"
            "        leader, place = lead.leader, self._place\n"
        ),
        tests=(f"{IN_KEEPER}test_write_that_was_frozen_before_it_was_sent_is_refused",),
    ),
    Mistake(
        name="the resourceVersion of the slice is not sent",
        file="kube_api/slices.py",
        old='{**patch.get("metadata", {}), "resourceVersion": version}',
        new='{**patch.get("metadata", {})}',
        tests=(f"{IN_KEEPER}test_write_that_was_frozen_before_it_was_sent_is_refused",),
    ),
    Mistake(
        name="two leaders create the slice under one name of a manager",
        file=KEEPER,
        old='return f"kubernetes-leader-election-{secrets.token_hex(8)}"',
        new='return f"kubernetes-leader-election-{len(secrets.token_hex(8))}"',
        tests=(
            f"{IN_KEEPER}test_creation_that_was_frozen_before_it_was_sent_is_refused",
        ),
    ),
    Mistake(
        name="the address of a later term is replaced",
        file=SLICE,
        old="    return digits and int(token) > leader.token",
        new="    return digits and int(token) > leader.token + 10**9",
        tests=(
            f"{IN_KEEPER}test_two_leaders_by_mistake_leave_the_address_of_the_later_term",
        ),
    ),
    Mistake(
        name="a later term of another Lease stops a leader for ever",
        file=SLICE,
        old="not uid or uid != leader.lease_uid:",
        new="not uid:",
        tests=(f"{IN_SLICE}test_later_token_of_another_lease_does_not_count",),
    ),
    Mistake(
        name="who stops takes out the address of its successor",
        file=KEEPER,
        old="isinstance(judged, Ours) and judged.is_own else",
        new="isinstance(judged, Ours) else",
        tests=(f"{IN_KEEPER}test_who_stops_without_knowing_the_version_looks_first",),
    ),
    Mistake(
        name="the address stays where nobody is left to lead",
        file=KEEPER,
        old="self._to_clear = self._last if clear else None",
        new="self._to_clear = None",
        tests=(f"{IN_KEEPER}test_who_stops_takes_its_own_address_out",),
    ),
    Mistake(
        name="a label of somebody keeps the address of who stopped in the slice",
        file=KEEPER,
        old=(
            '            self._version = ""  # written since: by a successor, or labelled '
            "by anybody"
        ),
        new="            return",
        tests=(f"{IN_KEEPER}test_who_stops_takes_its_address_out_of_a_labelled_slice",),
    ),
    Mistake(
        name="a leader that steps down takes its address out",
        file=ANNOUNCER,
        old="            self._slice.put(Leave(clear=False))",
        new="            self._slice.put(Leave(clear=True))",
        tests=(f"{IN_ANNOUNCER}test_successor_replaces_the_address_in_one_write",),
    ),
    Mistake(
        name="a write that lost against another counts as done",
        file=KEEPER,
        old="            return False  # somebody wrote or deleted it since it was read",
        new="            return True",
        tests=(
            f"{IN_KEEPER}test_write_that_loses_against_another_is_tried_again_at_once",
        ),
    ),
    # What is somebody else's ----------------------------------------------------------
    Mistake(
        name="a slice of another controller is overwritten",
        file=SLICE,
        old="    if manager != MANAGER:",
        new="    if manager and not manager:",
        tests=(f"{IN_SLICE}test_slice_of_somebody_else_is_left_alone",),
    ),
    Mistake(
        name="a slice of another election is overwritten",
        file=SLICE,
        old="    if lease != place.lease:",
        new="    if lease is None:",
        tests=(f"{IN_KEEPER}test_slice_of_another_election_is_left_alone",),
    ),
    Mistake(
        name="words of somebody else come into the log as they are",
        file=SLICE,
        old="    return quoted(printable(value)) if isinstance(value, str)",
        new="    return value if isinstance(value, str)",
        tests=(f"{IN_SLICE}test_slice_of_somebody_else_is_left_alone",),
    ),
    Mistake(
        name="the loopback address is published",
        file="publish/own_address.py",
        old='("unspecified", "loopback", "link_local", "multicast")',
        new='("unspecified", "link_local", "multicast")',
        tests=(f"{IN_ADDRESS}test_address_that_leads_nowhere_is_refused",),
    ),
    # Off the path of the election -----------------------------------------------------
    Mistake(
        name="the engine waits until the address is written",
        file=ANNOUNCER,
        old="still=self._still_leads(event.term)))\n",
        new="still=self._still_leads(event.term)))\n            self._slice.wait(5.0)\n",
        tests=(f"{IN_ANNOUNCER}test_trouble_with_what_is_told_delays_no_renewal",),
        slow=True,
    ),
    Mistake(
        name="a defect of what tells others reaches the engine",
        file="lifecycle/optional_features.py",
        old="        except Exception as error:  # noqa: BLE001 - fault 07: logged, and nothing depends on it",
        new="        except KeyError as error:",
        tests=(f"{IN_ANNOUNCER}test_defect_of_what_tells_others_ends_no_term",),
    ),
    Mistake(
        name="what is to be told waits without a bound",
        file=WORKER,
        old="        if self._inbox.qsize() < ROOM:",
        new="        if self._inbox.qsize() >= 0:",
        tests=(f"{IN_WORKER}test_queue_is_bounded_and_never_waits",),
    ),
    Mistake(
        name="what failed is tried again without a pause",
        file=WORKER,
        old="        return max(pause, min(asked, LONGEST_PAUSE))",
        new="        return min(asked, LONGEST_PAUSE)",
        tests=(f"{IN_WORKER}test_failure_is_tried_again_after_a_growing_pause",),
    ),
    Mistake(
        name="a failure of what is told is logged at each try",
        file=ANNOUNCER,
        old="        line = self._throttle.line(str(error), now=time.monotonic())",
        new="        line = str(error)",
        tests=(f"{IN_ANNOUNCER}test_trouble_with_what_is_told_delays_no_renewal",),
        slow=True,
    ),
    Mistake(
        name="Events are not limited",
        file="publish/allowance.py",
        old="        if self._left < 1.0:",
        new="        if self._left < -1e9:",
        tests=(f"{IN_WRITER}test_events_are_limited",),
    ),
    Mistake(
        name="Events are limited in each life of an elector anew",
        file=ANNOUNCER,
        old="                allowance=self._allowance,",
        new="                allowance=event_allowance(),",
        tests=(
            f"{IN_ANNOUNCER}test_elector_that_is_started_again_and_again_floods_nobody",
        ),
    ),
    Mistake(
        name="the next life can begin while the last one is being ended",
        file="lifecycle/engine_listener.py",
        old="        try:\n            if self.probe is not None:\n",
        new=(
            "        self._life.started = False\n"
            "        try:\n            if self.probe is not None:\n"
        ),
        tests=(
            f"{IN_ANNOUNCER}test_next_life_cannot_begin_before_the_last_one_has_ended",
        ),
    ),
    Mistake(
        name="a child process keeps the connections of what tells others",
        file="publish/own_clients.py",
        old="on_child(_after_fork_in_child)",
        new="",
        tests=(f"{IN_ANNOUNCER}test_child_process_keeps_no_connection",),
    ),
    Mistake(
        name="who changes the slice again and again is told of each time",
        file=ANNOUNCER,
        old="        line = self._notes.line(text, now=time.monotonic())",
        new="        line = text",
        tests=(
            f"{IN_ANNOUNCER}test_slice_that_is_changed_again_and_again_is_told_of_once",
        ),
    ),
    Mistake(
        name="Events that a dropped one spoke for are counted nowhere",
        file="publish/event_writer.py",
        old="        self._allowance.leave_out(count)",
        new="        self._allowance.leave_out(1)",
        tests=(f"{IN_WRITER}test_dropped_event_hands_on_what_it_says_was_left_out",),
    ),
    Mistake(
        name="an Event that no server takes holds up all others",
        file="publish/event_writer.py",
        old="                if written.error.status in _HOPELESS:",
        new="                if written.error.status in ():",
        tests=(f"{IN_WRITER}test_event_that_no_server_takes_is_dropped",),
    ),
    Mistake(
        name="an Event is not found by who describes the Lease",
        file="publish/lease_event.py",
        old='            "uid": happening.lease_uid,\n',
        new="",
        tests=(f"{IN_WRITER}test_event_is_about_the_lease",),
    ),
]
