"""Mistakes in what a pod tells: who leaves a note, and what proves a container's end."""

from __future__ import annotations

from typing import Final

from tests.mutants.mistakes import Mistake

NOTE: Final = "pods/note_file.py"
PROOF: Final = "pods/proof.py"
TERMINATION: Final = "pods/termination.py"
SEARCH: Final = "engine/proof_search.py"
IN_NOTE: Final = "tests/pods/test_note_file.py::"
IN_PROOF: Final = "tests/pods/test_proof.py::"
IN_TAKE_OVER: Final = "tests/crash/test_take_over.py::"
IN_CRASH_NOTE: Final = "tests/lifecycle/test_crash_note.py::"
IN_OPTIONS: Final = "tests/settings/test_options.py::"
IN_RUN: Final = "tests/cli/supervise/test_crash_takeover.py::"
IN_SEARCH: Final = "tests/engine/test_proof_search.py::"
IN_TERMINATION: Final = "tests/pods/test_termination.py::"

MISTAKES: Final = [
    # What proves that a container has ended -------------------------------------------
    Mistake(
        name="a deletion is taken for the end of the pod's processes",
        file=PROOF,
        old='    unsuited = _unsuited(_object(whole.get("spec"), "spec"), note)',
        new=(
            '    if metadata.get("deletionTimestamp"):\n'
            '        return Proven(why="deleted")\n'
            '    unsuited = _unsuited(_object(whole.get("spec"), "spec"), note)'
        ),
        tests=(f"{IN_PROOF}test_deletion_proves_nothing",),
    ),
    Mistake(
        name="the phase Failed is taken for the end of the pod's processes",
        file=PROOF,
        old='    place = f"the container {note.container} of {note.pod}"',
        new=(
            '    place = f"the container {note.container} of {note.pod}"\n'
            '    if whole["status"].get("phase") == "Failed":\n'
            '        return Proven(why="failed")'
        ),
        tests=(f"{IN_PROOF}test_phase_and_conditions_prove_nothing",),
    ),
    Mistake(
        name="a restart that was counted proves the end, without the nonce",
        file=PROOF,
        old="        if _has_nonce(state, note.nonce):",
        new='        if _has_nonce(state, note.nonce) or status.get("restartCount"):',
        tests=(f"{IN_PROOF}test_restart_count_proves_nothing",),
    ),
    Mistake(
        name="the exit code 255 of a lost shim is accepted",
        file=PROOF,
        old="frozenset({128, 255})",
        new="frozenset({128})",
        tests=(f"{IN_PROOF}test_exit_code_that_is_no_wait_status_proves_nothing",),
    ),
    Mistake(
        name="the exit code 128 of a container that never ran is accepted",
        file=PROOF,
        old="frozenset({128, 255})",
        new="frozenset({255})",
        tests=(f"{IN_PROOF}test_exit_code_that_is_no_wait_status_proves_nothing",),
    ),
    Mistake(
        name="an exit code that no process has is accepted",
        file=PROOF,
        old="not 0 <= code <= 255 or",
        new="",
        tests=(f"{IN_PROOF}test_exit_code_that_is_no_wait_status_proves_nothing",),
    ),
    Mistake(
        name="a part of a line is taken for the nonce",
        file=PROOF,
        old='nonce in message.split("\\n")',
        new="nonce in message",
        tests=(f"{IN_PROOF}test_nonce_must_be_a_whole_line",),
    ),
    Mistake(
        name="any character that ends a line for Python ends the nonce's",
        file=PROOF,
        old='nonce in message.split("\\n")',
        new="nonce in message.splitlines()",
        tests=(f"{IN_PROOF}test_nonce_must_be_a_whole_line",),
    ),
    Mistake(
        name="the uid of the pod is not compared",
        file=PROOF,
        old='    if metadata.get("uid") != note.uid:',
        new='    if not metadata.get("uid"):',
        tests=(f"{IN_PROOF}test_pod_must_be_the_very_one",),
    ),
    Mistake(
        name="the name and namespace of the pod are not compared",
        file=PROOF,
        old='(metadata.get("namespace"), metadata.get("name")) != (note.namespace, note.pod)',
        new='not metadata.get("name")',
        tests=(f"{IN_PROOF}test_pod_must_be_the_very_one",),
    ),
    Mistake(
        name="a pod with hostPID is accepted",
        file=PROOF,
        old='("hostPID", "shareProcessNamespace")',
        new='("shareProcessNamespace",)',
        tests=(f"{IN_PROOF}test_processes_that_are_shared_prove_nothing",),
    ),
    Mistake(
        name="a pod with shareProcessNamespace is accepted",
        file=PROOF,
        old='("hostPID", "shareProcessNamespace")',
        new='("hostPID",)',
        tests=(f"{IN_PROOF}test_processes_that_are_shared_prove_nothing",),
    ),
    Mistake(
        name="a pod with a runtime class is accepted",
        file=PROOF,
        old='    if spec.get("runtimeClassName") is not None:',
        new="    if False:",
        tests=(f"{IN_PROOF}test_runtime_class_proves_nothing",),
    ),
    Mistake(
        name="a container runtime that was not tried is accepted",
        file=PROOF,
        old="not container_id.startswith(_RUNTIME)",
        new="not container_id",
        tests=(f"{IN_PROOF}test_other_runtimes_prove_nothing",),
    ),
    Mistake(
        name="an init container that is run once is accepted",
        file=PROOF,
        old='    if helpers and helpers[0].get("restartPolicy") != "Always":',
        new="    if False:",
        tests=(f"{IN_PROOF}test_restartable_init_container_counts",),
    ),
    Mistake(
        name="the end of a side-car proves that of the leader's container",
        file=PROOF,
        old='    return [entry for entry in entries if entry.get("name") == name]',
        new="    return entries[-1:]",
        tests=(
            f"{IN_PROOF}test_nonce_in_the_status_of_another_container_proves_nothing",
        ),
    ),
    Mistake(
        name="a guessed reason is accepted",
        file=PROOF,
        old="    if not isinstance(reason, str) or reason not in _REASONS:",
        new="    if not isinstance(reason, str):",
        tests=(f"{IN_PROOF}test_reason_must_be_one_of_an_end_that_was_seen",),
    ),
    Mistake(
        name="a container that never started is accepted",
        file=PROOF,
        old="    if not isinstance(started, str) or not _TIME.fullmatch(started):",
        new="    if not isinstance(started, str):",
        tests=(f"{IN_PROOF}test_container_must_have_been_started",),
    ),
    Mistake(
        name="a container that is said to run is taken for ended",
        file=PROOF,
        old='    if running is not None and status.get("containerID") == container_id:',
        new="    if False:",
        tests=(f"{IN_PROOF}test_container_that_ended_and_runs_proves_nothing",),
    ),
    Mistake(
        name="two entries of one name are taken for one",
        file=PROOF,
        old="    return found[0] if len(found) == 1 else None",
        new="    return found[0] if found else None",
        tests=(f"{IN_PROOF}test_container_of_no_or_two_entries_proves_nothing",),
    ),
    Mistake(
        name="a pod of an odd form raises",
        file=PROOF,
        old='    if not isinstance(value, Mapping):\n        raise _Odd(f"its {what} is no object")\n',
        new="",
        tests=(f"{IN_PROOF}test_no_pod_of_any_form_raises",),
    ),
    Mistake(
        name="the names in a note go into a URL as they are",
        file=PROOF,
        old="    problem = problem_of(note)",
        new="    problem = problem_of(note) and None",
        tests=(f"{IN_PROOF}test_note_with_odd_names_proves_nothing",),
    ),
    # Who may leave a note ---------------------------------------------------------------
    Mistake(
        name="a note is left with hostPID or shareProcessNamespace",
        file=TERMINATION,
        old="    if ours != first:",
        new="    if False:",
        tests=(f"{IN_TERMINATION}test_host_pid_and_shared_processes_leave_no_note",),
    ),
    Mistake(
        name="a note is left where process 1 cannot be looked at",
        file=TERMINATION,
        old='    except OSError as error:\n        return NoNote(\n            why="it cannot',
        new='    except OSError as error:\n        return None\n        NoNote(\n            why="it cannot',
        tests=(
            f"{IN_TERMINATION}test_process_1_that_cannot_be_looked_at_leaves_no_note",
        ),
    ),
    Mistake(
        name="the processes of another PID namespace are looked at",
        file=TERMINATION,
        old="        if own != str(os.getpid()):",
        new="        if False:",
        tests=(f"{IN_TERMINATION}test_proc_of_another_namespace_leaves_no_note",),
    ),
    Mistake(
        name="the first of two termination files is taken",
        file=TERMINATION,
        old='    if len(found) > 1:\n        return NoNote(why="more',
        new='    if False:\n        return NoNote(why="more',
        tests=(f"{IN_TERMINATION}test_two_such_mounts_are_none",),
    ),
    Mistake(
        name="what is mounted over the termination file is written to",
        file=TERMINATION,
        old="    if sum(point == file.path for _, point in mounts) > 1:",
        new="    if False:",
        tests=(f"{IN_TERMINATION}test_what_is_mounted_over_it_makes_it_none",),
    ),
    Mistake(
        name="a file on a volume of the pod is taken for its termination file",
        file=TERMINATION,
        old="        and len(_POD.findall(root)) == 1\n",
        new="",
        tests=(f"{IN_TERMINATION}test_mount_of_another_form_is_none",),
    ),
    # The note ------------------------------------------------------------------------------
    Mistake(
        name="a child process leaves its parent's note",
        file=NOTE,
        old="_note: Final = PerProcess(_OnceLeft)",
        new="_ONE = _OnceLeft()\n\n\ndef _note():\n    return _ONE",
        tests=(f"{IN_NOTE}test_child_process_leaves_a_note_of_its_own",),
    ),
    Mistake(
        name="the nonce goes on the line that somebody else began",
        file=NOTE,
        old="{chr(10) if before.st_size else ''}",
        new="",
        tests=(f"{IN_NOTE}test_what_stood_in_the_file_stays",),
    ),
    Mistake(
        name="a note is not read back",
        file=NOTE,
        old="written != len(line) or not _has_line(descriptor, after.st_size, nonce)",
        new="written != len(line)",
        tests=(f"{IN_NOTE}test_what_cannot_be_read_back_is_no_note",),
    ),
    Mistake(
        name="another file of the same name is taken for the one with the note",
        file=NOTE,
        old=(
            "            if (status.st_dev, status.st_ino) != (self.device, self.inode):\n"
            '                return "replaced"\n'
        ),
        new="",
        tests=(f"{IN_NOTE}test_file_that_was_replaced_is_seen",),
    ),
    Mistake(
        name="a note that was written over is taken for good",
        file=NOTE,
        old='if _has_line(descriptor, status.st_size, self.nonce) else "lost"',
        new='if status.st_size else "lost"',
        tests=(f"{IN_NOTE}test_nonce_that_is_gone_is_seen",),
    ),
    Mistake(
        name="a note that the kubelet no longer reads is taken for good",
        file=NOTE,
        old="    start = max(0, size - KUBELET_READS)",
        new="    start = 0 * size",
        tests=(f"{IN_NOTE}test_only_the_end_of_the_file_counts",),
    ),
    Mistake(
        name="the nonce is shown in logs",
        file=NOTE,
        old="    nonce: str = hidden()\n    device: int",
        new="    nonce: str\n    device: int",
        tests=(f"{IN_NOTE}test_nonce_is_never_shown",),
    ),
    Mistake(
        name="the file with the note stays open",
        file=NOTE,
        old="        return _unusable(file, error)\n    finally:\n        os.close(descriptor)",
        new="        return _unusable(file, error)\n    finally:\n        pass",
        tests=(f"{IN_NOTE}test_no_descriptor_is_kept",),
    ),
    Mistake(
        name="a link in the place of the termination file is followed",
        file=NOTE,
        old="flags | os.O_NOFOLLOW | os.O_NONBLOCK",
        new="flags | os.O_NONBLOCK",
        tests=(f"{IN_NOTE}test_link_is_not_followed",),
    ),
    # The search for a proof -------------------------------------------------------------
    Mistake(
        name="a pod that is gone counts as a proof",
        file=SEARCH,
        old='        return m.ProofRefuted(request_id=number, why=f"the pod {note.pod} is gone")',
        new='        return m.ProofSeen(request_id=number, why=f"the pod {note.pod} is gone")',
        tests=(f"{IN_SEARCH}test_pod_that_is_gone_is_no_proof",),
    ),
    Mistake(
        name="the event of a deletion counts as a proof",
        file=SEARCH,
        old="        if isinstance(judged, Proven):\n            proven(m.ProofSeen(request_id=number, why=judged.why))",
        new='        if isinstance(judged, Proven) or kind == "DELETED":\n            proven(m.ProofSeen(request_id=number, why=judged.why))',
        tests=(f"{IN_SEARCH}test_pod_that_was_deleted_by_force_is_no_proof",),
    ),
    Mistake(
        name="the status inside the event of a deletion is not looked at",
        file=SEARCH,
        old="        judged = judge_pod(pod, note)\n",
        new='        judged = judge_pod({} if kind == "DELETED" else pod, note)\n',
        tests=(f"{IN_SEARCH}test_status_that_comes_with_the_deletion_alone_counts",),
    ),
    Mistake(
        name="the pod is watched, and not looked at as it is",
        file=SEARCH,
        old='        look("ADDED", found.body)\n',
        new="",
        tests=(f"{IN_SEARCH}test_end_that_was_reported_before_is_proved",),
    ),
    Mistake(
        name="a pod is asked for by names that nobody has checked",
        file=SEARCH,
        old="    if problem_of(note) is not None:",
        new="    if False:",
        tests=(f"{IN_SEARCH}test_names_that_are_none_are_never_asked_for",),
    ),
    Mistake(
        name="what a kubelet says after a lie is believed",
        file=SEARCH,
        old='        elif kind == "DELETED" or judged.for_good:',
        new='        elif kind == "DELETED":',
        tests=(f"{IN_SEARCH}test_lie_of_a_lost_shim_is_no_proof",),
    ),
    Mistake(
        name="a watch on a pod that brings nothing is kept for ever",
        file=SEARCH,
        old="            silence=silence,\n",
        new="",
        tests=(f"{IN_SEARCH}test_half_open_watch_is_given_up",),
        slow=True,
    ),
    Mistake(
        name="the first read of a pod may take for ever",
        file=SEARCH,
        old="    call.limit(within)\n",
        new="",
        tests=(f"{IN_SEARCH}test_read_that_hangs_ends_in_time",),
        slow=True,
    ),
    Mistake(
        name="renewals carry the note of a file that no longer has it",
        file="engine/driver.py",
        old="        if self._told.own_note is None or self._listener.note_is_good():",
        new="        if True:",
        tests=(f"{IN_CRASH_NOTE}test_renewals_carry_the_note_as_long_as_it_is_there",),
        slow=True,
    ),
    Mistake(
        name="the engine's thread itself looks for the note, on a disk that may hang",
        file="lifecycle/crash_note.py",
        old="self._look is not None and self._look.is_good():",
        new="self._look is not None and own.file.is_good():",
        tests=(f"{IN_CRASH_NOTE}test_disk_that_hangs_stops_no_renewal",),
        slow=True,
    ),
    Mistake(
        name="start() itself leaves the note, on a disk that may hang",
        file="lifecycle/crash_note.py",
        old='native.start_thread(self._leave, where, name="leader-election-note")',
        new="self._leave(where)",
        tests=(f"{IN_CRASH_NOTE}test_disk_that_hangs_holds_up_no_start",),
        slow=True,
    ),
    Mistake(
        name="each start leaves the note by a thread of its own",
        file="lifecycle/crash_note.py",
        old="        if leaving:\n",
        new="        if False:\n",
        tests=(f"{IN_CRASH_NOTE}test_note_is_left_by_one_thread_at_a_time",),
    ),
    Mistake(
        name="nobody says why the end of a leader is never proved",
        file="engine/driver.py",
        old="        if isinstance(answer, m.ProofRefuted | m.ProofUnreadable):",
        new="        if isinstance(answer, m.ProofUnreadable):",
        tests=(f"{IN_TAKE_OVER}test_forced_deletion_proves_nothing_and_is_told",),
        slow=True,
    ),
    Mistake(
        name="why nothing is proved is said of one leader alone",
        file="lifecycle/crash_note.py",
        old='            self._log.say(\n                "info",',
        new='            self._say(\n                "refuted",',
        tests=(f"{IN_CRASH_NOTE}test_why_nothing_is_proved_is_said_of_each_leader",),
    ),
    Mistake(
        name="a note is left though nobody asked for it",
        file="lifecycle/optional_features.py",
        old="        if not settings.crash_takeover or settings.observe or elector.assumed:",
        new="        if settings.observe or elector.assumed:",
        tests=(
            "tests/lifecycle/test_crash_note.py::test_without_the_option_nothing_is_left",
        ),
        slow=True,
    ),
    Mistake(
        name="run takes a term file that other containers see",
        file="cli/supervise/wiring.py",
        old="    if shared is None:\n        return False\n",
        new="    if True:\n        return False\n",
        tests=(f"{IN_RUN}test_term_file_on_a_volume_proves_no_crash",),
    ),
    Mistake(
        name="a challenge may take longer than what it shortens",
        file="settings/options.py",
        old="    if not MIN_CRASH_CHALLENGE <= given < most:",
        new="    if not MIN_CRASH_CHALLENGE <= given:",
        tests=(f"{IN_OPTIONS}test_challenge_is_shorter_than_what_it_shortens",),
    ),
]
