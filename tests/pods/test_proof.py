"""What proves that a container has ended, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pods.conftest import NONCE, NOTE, POD

from kubernetes_leader_election.pods.proof import NotProven, Proven, judge_pod
from kubernetes_leader_election.values import replace


def test_note_of_a_container_that_runs_again_proves_its_former_end(pod):
    """Note of a container that runs again proves its former end."""
    assert judge_pod(pod, NOTE) == Proven(
        why="the container billing of billing-7d9f was killed (SIGKILL)"
    )


@pytest.mark.parametrize(
    ("reason", "code", "told"),
    [
        ("OOMKilled", 137, "was killed (out of memory)"),
        ("Error", 1, "ended with exit code 1"),
        ("Error", 143, "ended with exit code 143 (SIGTERM)"),
        ("Completed", 0, "ended with exit code 0"),
    ],
)
def test_end_is_told_in_words(pod, ended, reason, code, told):
    """End is told in words."""
    ended.update(reason=reason, exitCode=code)
    assert judge_pod(pod, NOTE).why == f"the container billing of billing-7d9f {told}"


def test_end_that_is_the_present_state_counts(pod):
    """End that is the present state counts."""
    status = pod["status"]["containerStatuses"][0]
    status["state"] = status.pop("lastState")
    assert isinstance(judge_pod(pod, NOTE), Proven)


def test_restartable_init_container_counts(pod):
    """Restartable init container counts."""
    helper = pod["spec"]["containers"].pop(0)
    pod["spec"]["initContainers"] = [helper | {"restartPolicy": "Always"}]
    status = pod["status"]
    status["initContainerStatuses"] = [status["containerStatuses"].pop(0)]
    assert isinstance(judge_pod(pod, NOTE), Proven)
    del pod["spec"]["initContainers"][0]["restartPolicy"]
    assert isinstance(judge_pod(pod, NOTE), NotProven)


def test_deletion_proves_nothing(pod, ended):
    """Fault 75: a pod that is marked, or gone, may have processes."""
    ended["message"] = ""
    pod["metadata"]["deletionTimestamp"] = "2026-11-29T11:00:00Z"
    pod["metadata"]["deletionGracePeriodSeconds"] = 0
    assert isinstance(judge_pod(pod, NOTE), NotProven)


def test_phase_and_conditions_prove_nothing(pod, ended):
    """Fault 75: they are what the control plane guesses."""
    ended["message"] = ""
    pod["status"]["phase"] = "Failed"
    pod["status"]["reason"] = "NodeLost"
    pod["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True"}]
    assert isinstance(judge_pod(pod, NOTE), NotProven)


def test_restart_count_proves_nothing(pod, ended):
    """Restart count proves nothing."""
    ended["message"] = ""
    pod["status"]["containerStatuses"][0]["restartCount"] = 7
    assert isinstance(judge_pod(pod, NOTE), NotProven)


@pytest.mark.parametrize(
    "message",
    [
        f"x{NONCE}\n",
        f"{NONCE}x\n",
        f" {NONCE}\n",
        f"{NONCE}\r\n",
        f"{NONCE}\u2028",
        f"\x0b{NONCE}\n",
        NONCE.upper(),
        NONCE[:-1],
        "",
        None,
        [NONCE],
    ],
)
def test_nonce_must_be_a_whole_line(pod, ended, message):
    """Nonce must be a whole line."""
    ended["message"] = message
    assert isinstance(judge_pod(pod, NOTE), NotProven)


@pytest.mark.parametrize("message", [NONCE, f"bye\n{NONCE}\nmore", f"{NONCE}\n" * 2])
def test_nonce_may_be_any_line(pod, ended, message):
    """Nonce may be any line."""
    ended["message"] = message
    assert isinstance(judge_pod(pod, NOTE), Proven)


def test_nonce_in_the_status_of_another_container_proves_nothing(pod, ended):
    """Nonce in the status of another container proves nothing."""
    proxy = pod["status"]["containerStatuses"][1]
    proxy["lastState"] = {"terminated": dict(ended)}
    ended["message"] = ""
    assert isinstance(judge_pod(pod, NOTE), NotProven)


@pytest.mark.parametrize(
    "code", [255, 128, -1, 256, -9, 137.0, "137", True, None, 10**30]
)
def test_exit_code_that_is_no_wait_status_proves_nothing(pod, ended, code):
    """Fault 74: 255 was seen of a container whose process ran on."""
    ended["exitCode"] = code
    assert isinstance(judge_pod(pod, NOTE), NotProven)


@pytest.mark.parametrize(
    "reason",
    ["ContainerStatusUnknown", "StartError", "ContainerCannotRun", "", None, ["Error"]],
)
def test_reason_must_be_one_of_an_end_that_was_seen(pod, ended, reason):
    """Reason must be one of an end that was seen."""
    ended["reason"] = reason
    assert isinstance(judge_pod(pod, NOTE), NotProven)


@pytest.mark.parametrize(
    "started", [None, "", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", 5, "now"]
)
def test_container_must_have_been_started(pod, ended, started):
    """Container must have been started."""
    ended["startedAt"] = started
    assert isinstance(judge_pod(pod, NOTE), NotProven)


@pytest.mark.parametrize("field", ["hostPID", "shareProcessNamespace"])
@pytest.mark.parametrize("value", [True, 0, 1, "", "false"])
def test_processes_that_are_shared_prove_nothing(pod, field, value):
    """Processes that are shared prove nothing."""
    pod["spec"][field] = value
    assert isinstance(judge_pod(pod, NOTE), NotProven)


@pytest.mark.parametrize("field", ["hostPID", "shareProcessNamespace"])
@pytest.mark.parametrize("value", [False, None])
def test_processes_that_are_not_shared_are_fine(pod, field, value):
    """Processes that are not shared are fine."""
    pod["spec"][field] = value
    assert isinstance(judge_pod(pod, NOTE), Proven)


@pytest.mark.parametrize("runtime", ["cri-o://aaaa", "docker://aaaa", "aaaa", "", None])
def test_other_runtimes_prove_nothing(pod, ended, runtime):
    """Other runtimes prove nothing."""
    ended["containerID"] = runtime
    assert isinstance(judge_pod(pod, NOTE), NotProven)


def test_runtime_class_proves_nothing(pod):
    """Runtime class proves nothing."""
    pod["spec"]["runtimeClassName"] = "kata"
    assert isinstance(judge_pod(pod, NOTE), NotProven)


@pytest.mark.parametrize("field", ["name", "namespace", "uid"])
def test_pod_must_be_the_very_one(pod, field):
    """Pod must be the very one."""
    pod["metadata"][field] = "other"
    assert isinstance(judge_pod(pod, NOTE), NotProven)


def test_container_that_ended_and_runs_proves_nothing(pod, ended):
    """Container that ended and runs proves nothing."""
    ended["containerID"] = pod["status"]["containerStatuses"][0]["containerID"]
    assert isinstance(judge_pod(pod, NOTE), NotProven)


@pytest.mark.parametrize("place", ["spec", "status"])
def test_container_of_no_or_two_entries_proves_nothing(pod, place):
    """Container of no or two entries proves nothing."""
    names = pod[place]["containers" if place == "spec" else "containerStatuses"]
    names.append(names[0])
    assert isinstance(judge_pod(pod, NOTE), NotProven)
    del names[0], names[-1]
    assert isinstance(judge_pod(pod, NOTE), NotProven)


def test_ephemeral_container_proves_nothing(pod):
    """Ephemeral container proves nothing."""
    pod["spec"]["ephemeralContainers"] = [pod["spec"]["containers"].pop(0)]
    status = pod["status"]
    status["ephemeralContainerStatuses"] = [status["containerStatuses"].pop(0)]
    assert isinstance(judge_pod(pod, NOTE), NotProven)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("namespace", "../../kube-system"),
        ("namespace", ""),
        ("pod", "."),
        ("pod", "billing/log"),
        ("pod", "a..b"),
        ("pod", "billing-7d9f\n"),
        ("container", "Billing"),
        ("uid", "0A1B2C3D-4E5F-6071-8293-A4B5C6D7E8F9"),
        ("nonce", ""),
        ("nonce", "Error"),
    ],
)
def test_note_with_odd_names_proves_nothing(pod, field, value):
    """Note with odd names proves nothing."""
    found = judge_pod(pod, replace(NOTE, **{field: value}))
    assert isinstance(found, NotProven)
    assert "the note cannot be used" in found.why


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(NONCE),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


def paths(value, path=()):
    """Yield the way to each thing in a pod."""
    yield path
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, inner in items:
        yield from paths(inner, (*path, key))


def changed(value, path, new):
    """Return a pod with one thing in it changed."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


@given(path=st.sampled_from(list(paths(POD))), new=ANY)
def test_no_pod_of_any_form_raises(path, new):
    """No pod of any form raises."""
    assert isinstance(judge_pod(changed(POD, path, new), NOTE), Proven | NotProven)


@given(ANY)
def test_nothing_of_any_form_is_proof(anything):
    """Nothing of any form is proof."""
    assert isinstance(judge_pod(anything, NOTE), NotProven)
