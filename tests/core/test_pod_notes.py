"""The note on the Lease: one record's, and nothing else whatever stands there."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubernetes_leader_election.core.annotations import (
    CHALLENGE,
    POD,
    challenged,
    is_challenged,
    name_of,
    without,
)
from kubernetes_leader_election.core.pod_notes import note_of, with_note
from kubernetes_leader_election.core.record import format_time, read_snapshot
from tests.core.harness import FUZZ, WALL
from tests.core.proofs import note

TIMES = {"acquireTime": format_time(WALL), "renewTime": format_time(WALL + 5)}


def lease(annotations=None, **spec):
    """Give a Lease that somebody holds."""
    metadata = {"name": "election", "uid": "u-1", "resourceVersion": "7"}
    if annotations is not None:
        metadata["annotations"] = annotations
    return {"metadata": metadata, "spec": {"holderIdentity": "a", **TIMES, **spec}}


def text_of(left=None):
    """Give the annotation of a note."""
    return with_note(lease(), left or note())["metadata"]["annotations"][POD]


def read(text, **spec):
    """Give what an annotation says for a record."""
    return note_of(read_snapshot(lease({POD: text}, **spec)))


HOLDERS = st.text(min_size=1).filter(lambda text: "\ud800" not in text)


@FUZZ
@given(
    holder=HOLDERS,
    nonce=st.integers(0, 2**128 - 1),
    pod=st.from_regex(
        r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z0-9]{1,5}){0,3}", fullmatch=True
    ),
    milliseconds=st.integers(1, 600_000),
)
def test_note_is_read_as_it_was_written(holder, nonce, pod, milliseconds):
    """Whatever the identity: it may have blanks, and look like a note itself."""
    left = note(nonce, pod=pod, crash_challenge=milliseconds / 1000)
    written = with_note(lease(holderIdentity=holder), left)
    assert note_of(read_snapshot(written)) == left


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@FUZZ
@given(annotations=ODD | st.fixed_dictionaries({POD: ODD, CHALLENGE: ODD}), spec=ODD)
def test_hostile_annotations_are_no_note(annotations, spec):
    """Never an exception, whatever stands in the Lease."""
    metadata = {"annotations": annotations}
    for made in (
        {"metadata": metadata, "spec": spec},
        {"metadata": metadata, **lease()},
    ):
        snapshot = read_snapshot(made)
        assert note_of(snapshot) is None
        assert not is_challenged(snapshot)


@FUZZ
@given(data=st.data())
def test_note_that_was_changed_by_a_letter_is_none_or_well_formed(data):
    """What is read fits in a URL, whoever wrote it."""
    text = text_of()
    where = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("\x00 /.%?#AZaz09-é²\n\u2028"))
    found = read(text[:where] + letter + text[where + 1 :])
    if found is not None:
        assert re.fullmatch(
            r"[a-z0-9.-]+", found.namespace + found.pod + found.container
        )
        assert re.fullmatch(r"[0-9a-f]{32}", found.nonce)


@pytest.mark.parametrize(
    "changed",
    [
        text_of().replace("1 default", "2 default", 1),
        text_of().replace("default", "kube/../system", 1),
        text_of().replace("billing-7d9f", "Billing", 1),
        text_of().replace("billing-7d9f", "a" * 254, 1),
        text_of().replace("billing-7d9f", "..", 1),
        text_of() + " ",
        " " + text_of(),
        text_of() + "x" * 3000,
        text_of().replace(" 1000 ", " 0 ", 1),
        text_of().replace(" 1000 ", " 01000 ", 1),
        text_of().replace(" 1000 ", " 600001 ", 1),
        text_of().replace(" 1000 ", " 9999999 ", 1),
        text_of().replace(" 1000 ", " \u0661\u0660 ", 1),
        text_of().replace("00001 ", "0000g ", 1),
    ],
)
def test_anything_but_exactly_a_note_is_none(changed):
    """Another version, a name that is none, a number that is none."""
    assert changed != text_of()
    assert read(changed) is None


@pytest.mark.parametrize(
    "spec",
    [
        {"holderIdentity": "b"},
        {"holderIdentity": ""},
        {"holderIdentity": None},
        {"acquireTime": format_time(WALL + 1)},
        {"renewTime": format_time(WALL + 6)},
        {"acquireTime": None},
        {"renewTime": "soon"},
    ],
)
def test_note_of_another_record_is_none(spec):
    """It names the very record that it was written with."""
    assert read(text_of()) == note()
    assert read(text_of(), **spec) is None


@pytest.mark.parametrize(
    "left",
    [
        note(pod="Not A Name"),
        note(uid="?"),
        note(container=""),
        note(nonce=2**130),
        note(crash_challenge=1e9),
    ],
)
def test_note_that_nobody_would_read_is_not_written(left):
    """The Lease stays as it is."""
    before = lease()
    assert with_note(before, left) is before


def test_lease_that_nobody_holds_gets_no_note():
    """Nor one whose times are none."""
    free, odd = lease(holderIdentity=""), lease(renewTime="soon")
    assert with_note(free, note()) is free
    assert with_note(odd, note()) is odd
    assert name_of(read_snapshot(odd).record) is None


@pytest.mark.parametrize("metadata", [None, [], {"annotations": [1]}])
def test_lease_with_odd_metadata_gets_no_note(metadata):
    """What is there is not ours to replace."""
    odd = {**lease(), "metadata": metadata}
    assert with_note(odd, note()) is odd
    assert challenged(read_snapshot(odd)) is odd


def test_nonce_is_not_shown():
    """It stands in no log."""
    assert "0" * 31 not in repr(note())


def test_challenge_names_one_record():
    """And stays beside all that others wrote."""
    asked = challenged(read_snapshot(lease({"theirs": "x"})))
    assert asked["metadata"]["annotations"]["theirs"] == "x"
    assert is_challenged(read_snapshot(asked))
    later = {**asked, "spec": {**asked["spec"], "renewTime": format_time(WALL + 9)}}
    assert not is_challenged(read_snapshot(later))
    assert without(asked, CHALLENGE) == lease({"theirs": "x"})
    assert not is_challenged(read_snapshot(lease({CHALLENGE: "1 None"}, renewTime="x")))
