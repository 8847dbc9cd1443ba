"""Mistakes in the client of the Lease API: deadlines, connections, outcomes, watch."""

from __future__ import annotations

from typing import Final

from tests.mutants.mistakes import Mistake

CALL: Final = "kube_api/call.py"
FAILURES: Final = "kube_api/failures.py"
CLIENT: Final = "kube_api/client.py"
ANSWER: Final = "kube_api/answer.py"
CONNECTION: Final = "kube_api/connection.py"
DECODING: Final = "kube_api/decoding.py"
POOL: Final = "kube_api/pool.py"
TRANSPORT: Final = "kube_api/transport.py"
WATCH: Final = "kube_api/watch.py"
IN_CLIENT: Final = "tests/kube_api/test_client.py::"
IN_CONNECTIONS: Final = "tests/kube_api/test_connections.py::"
IN_DEADLINE: Final = "tests/kube_api/test_deadline.py::"
IN_HEADS: Final = "tests/kube_api/test_answer_heads.py::"
IN_HOSTILE: Final = "tests/kube_api/test_hostile_answers.py::"
IN_PODS: Final = "tests/kube_api/test_pods.py::"
IN_SECRETS: Final = "tests/kube_api/test_secrets.py::"
IN_WATCH: Final = "tests/kube_api/test_watch.py::"

MISTAKES: Final = [
    # The deadline ------------------------------------------------------------------
    Mistake(
        name="each wait on the socket has the whole time, so the deadline is not total",
        file=CALL,
        old="        left = self.check()\n        # Never 0",
        new="        left: float | None = 0.5\n        # Never 0",
        tests=(f"{IN_DEADLINE}test_deadline_covers_the_whole_answer",),
        slow=True,
    ),
    Mistake(
        name="the deadline of a request stands still in suspend",
        file=CALL,
        old='_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)',
        new="_BOOTTIME = None",
        tests=(
            "tests/engine/test_clocks.py::test_deadlines_of_requests_are_on_the_boottime",
        ),
    ),
    Mistake(
        name="whoever gives a request up waits for its socket",
        file=CALL,
        old="                _shut_down(self._sock)",
        new="                pass",
        tests=(f"{IN_DEADLINE}test_abandon_ends_an_answer_at_once",),
    ),
    Mistake(
        name="a handshake cannot be given up",
        file=CONNECTION,
        old="        call.arm(sock)\n        sock.do_handshake()",
        new="        call.detach()\n        call.arm(sock)\n        sock.do_handshake()",
        tests=(f"{IN_DEADLINE}test_abandon_ends_a_handshake_that_hangs",),
    ),
    Mistake(
        name="a request is sent though its time was over just before",
        file=CONNECTION,
        old="        call.attach(self._sock)\n        call.arm(self._sock)",
        new="        self._sock.settimeout(60.0)",
        tests=(
            f"{IN_DEADLINE}test_call_that_ends_just_before_the_first_byte_sends_nothing",
        ),
    ),
    Mistake(
        name="sending may take as long as it could in the request before",
        file=CONNECTION,
        old="        call.arm(self._sock)\n        self._sock.sendall(head",
        new="        self._sock.sendall(head",
        tests=(f"{IN_DEADLINE}test_deadline_covers_a_send_that_hangs",),
        slow=True,
    ),
    Mistake(
        name="the first address that hangs has all the time there is",
        file=CONNECTION,
        old="if remaining is not None and left > 1:",
        new="if False:",
        tests=(f"{IN_DEADLINE}test_one_address_that_hangs_leaves_time_for_the_next",),
    ),
    Mistake(
        name="the server is not told how long we wait",
        file=TRANSPORT,
        old="if self.tell_timeout and left is not None:",
        new="if False:",
        tests=(f"{IN_CLIENT}test_request_tells_the_server_its_deadline",),
    ),
    # Connections --------------------------------------------------------------------
    Mistake(
        name="a write that had no answer is sent again, below the core",
        file=TRANSPORT,
        old="        answer = self._once(request, wire, call, streaming=streaming)\n        if (",
        new=(
            "        answer = self._once(request, wire, call, streaming=streaming)\n"
            "        if isinstance(answer, Unknown):\n"
            "            answer = self._once(request, wire, call, streaming=streaming)\n"
            "        if ("
        ),
        tests=(f"{IN_CONNECTIONS}test_fault_30_write_is_never_sent_twice",),
    ),
    Mistake(
        name="a connection is begun for a call that is over",
        file=CONNECTION,
        old="                call.check()\n                # Without a wait",
        new="                # Without a wait",
        tests=(
            f"{IN_DEADLINE}test_fault_45_lookup_that_hangs_is_given_up_with_its_thread",
        ),
    ),
    Mistake(
        name="a connect cannot be abandoned before it has succeeded",
        file=CONNECTION,
        old="    sock.setblocking(False)\n    code = sock.connect_ex(address)\n",
        new="    sock.setblocking(True)\n    code = sock.connect_ex(address)\n",
        tests=(
            f"{IN_DEADLINE}test_abandon_right_before_a_step_of_a_connect_is_not_lost",
        ),
    ),
    Mistake(
        name="a connection is used again after a failure",
        file=TRANSPORT,
        old="            if not keep:\n                connection.close(call)",
        new="            if not keep:\n                self._pool.give_back(connection)",
        tests=(
            f"{IN_CONNECTIONS}test_fault_24_connection_that_failed_is_not_used_again",
        ),
    ),
    Mistake(
        name="a connection is used again though the server is to close it",
        file=ANSWER,
        old="return not self._response.will_close and not self._reader.leftover",
        new="return not self._reader.leftover",
        tests=(f"{IN_CONNECTIONS}test_connection_that_the_server_closes_is_not_kept",),
    ),
    Mistake(
        name="what came behind an answer is taken for the next answer",
        file=ANSWER,
        old="return not self._response.will_close and not self._reader.leftover",
        new="return not self._response.will_close",
        tests=(
            f"{IN_HOSTILE}test_answer_with_something_behind_it_costs_the_connection",
        ),
    ),
    Mistake(
        name="a write is risked on a connection that the server has closed",
        file=CONNECTION,
        old="        if poll.poll(0):",
        new="        if False:",
        tests=(f"{IN_CONNECTIONS}test_idle_connection_that_was_closed_is_noticed",),
    ),
    Mistake(
        name="a write is risked on a connection that has been idle for minutes",
        file=POOL,
        old="fresh = boottime() - connection.idle_since < _LONGEST_IDLE",
        new="fresh = True",
        tests=(f"{IN_CONNECTIONS}test_idle_connection_that_grew_old_is_not_used",),
    ),
    Mistake(
        name="connections of the old CA are used with the new one",
        file=POOL,
        old="if fresh and connection.context is context and connection.is_usable():",
        new="if fresh and connection.is_usable():",
        tests=(
            f"{IN_CONNECTIONS}test_fault_46_connections_of_the_old_ca_are_not_used",
        ),
    ),
    Mistake(
        name="a watch takes the warm connection of the writes",
        file=TRANSPORT,
        old="connection = None if streaming else self._pool.take(context)",
        new="connection = self._pool.take(context)",
        tests=(f"{IN_WATCH}test_watch_leaves_the_connection_of_the_writes_alone",),
    ),
    Mistake(
        name="a child process says goodbye on the connections of its parent",
        file=POOL,
        old="            descriptor = sock.detach()",
        new=(
            "            with contextlib.suppress(OSError):\n"
            "                sock.shutdown(2)\n"
            "            descriptor = sock.detach()"
        ),
        tests=(
            f"{IN_CONNECTIONS}test_fault_15_child_leaves_the_parents_connection_alone",
        ),
    ),
    # What is sent -------------------------------------------------------------------
    Mistake(
        name="the uid is not sent, so that another Lease of the name may be written",
        file=DECODING,
        old="_ENCODER.encode(value)",
        new=(
            "_ENCODER.encode({**value, **({'metadata': {k: v for k, v in "
            "value['metadata'].items() if k != 'uid'}} if 'metadata' in value else {})}"
            ")"
        ),
        tests=(f"{IN_CLIENT}test_replace_sends_the_lease_as_it_is",),
    ),
    Mistake(
        name="the resourceVersion is not sent, so that a write is not conditional",
        file=DECODING,
        old="_ENCODER.encode(value)",
        new=(
            "_ENCODER.encode({**value, **({'metadata': {k: v for k, v in value['metadata']"
            ".items() if k != 'resourceVersion'}} if 'metadata' in value else {})}"
            ")"
        ),
        tests=(f"{IN_CLIENT}test_replace_sends_the_lease_as_it_is",),
    ),
    Mistake(
        name="a read may be answered from the server's cache",
        file=CLIENT,
        old='wire = Wire(method="GET", path=LEASES.path(namespace, name))',
        new=(
            'wire = Wire(method="GET", path=LEASES.path(namespace, name), '
            'query={"resourceVersion": "0"})'
        ),
        tests=(f"{IN_CLIENT}test_get_gives_the_lease",),
    ),
    Mistake(
        name="a refused token is sent again though there is no newer one",
        file=TRANSPORT,
        old="        if not newer:\n            return answer",
        new="        if False:\n            return answer",
        tests=(
            f"{IN_SECRETS}test_fault_33_refused_token_that_is_the_newest_is_not_tried_again",
        ),
    ),
    # Pods -----------------------------------------------------------------------------
    Mistake(
        name="a 404 of anything means that there is no such pod",
        file=FAILURES,
        old="ours = status.kind == request.resource.plural",
        new="ours = bool(status.kind)",
        tests=(f"{IN_PODS}test_missing_pod_is_not_found",),
    ),
    Mistake(
        name="the advised rule for pods names the pod of today",
        file="kube_api/resources.py",
        old='plural="pods", group="", root="/api/v1", rule_names_it=False',
        new='plural="pods", group="", root="/api/v1", rule_names_it=True',
        tests=(f"{IN_PODS}test_missing_right_is_told_with_the_rule_to_add",),
    ),
    Mistake(
        name="a Lease is taken for the pod that was asked for",
        file=CLIENT,
        old="object_problem(answer.body, kind, request.namespace, request.name)",
        new='object_problem(answer.body, answer.body.get("kind", kind), request.namespace, request.name)',
        tests=(f"{IN_PODS}test_what_is_not_the_pod_is_no_answer",),
    ),
    Mistake(
        name="an event of another object is taken for one of the pod",
        file=WATCH,
        old="problem = object_problem(thing, resource.kind, namespace, name)",
        new="problem = None",
        tests=(f"{IN_PODS}test_event_of_another_object_ends_the_watch",),
    ),
    # What an answer means -------------------------------------------------------------
    Mistake(
        name="any 404 means that there is no such Lease",
        file=FAILURES,
        old='if status.is_status and status.reason == "NotFound" and ours:',
        new="if True:",
        tests=(f"{IN_CLIENT}test_404_that_does_not_speak_of_the_lease_is_not_free",),
    ),
    Mistake(
        name="the 404 of a namespace means that there is no such Lease",
        file=FAILURES,
        old='            "another one with namespace=."\n        )\n        return Refused,',
        new='            "another one with namespace=."\n        )\n        return NotFound,',
        tests=(f"{IN_CLIENT}test_client_tells_answers_apart",),
    ),
    Mistake(
        name="the 403 of a namespace that is being deleted is one of missing rights",
        file=FAILURES,
        old='if "NamespaceTerminating" in status.causes:',
        new="if False:",
        tests=(
            "tests/kube_api/test_with_lease_server.py::test_fault_35_namespace_that_is_missing_or_terminating",
        ),
    ),
    Mistake(
        name="a server error means that a write was not applied",
        file=FAILURES,
        old='return Unknown, advice, "unknown"\n\n\ndef _message',
        new='return Refused, "", "not done"\n\n\ndef _message',
        tests=(f"{IN_CLIENT}test_client_tells_answers_apart",),
    ),
    Mistake(
        name="the conflict of an admission webhook is one of versions",
        file=FAILURES,
        old="if _WEBHOOK.match(status.message) and",
        new="if status.code != 409 and _WEBHOOK.match(status.message) and",
        tests=(
            (
                "tests/kube_api/test_refusals.py::"
                "test_refusal_that_is_not_of_rbac_speaks_of_no_rule"
            ),
        ),
    ),
    Mistake(
        name="a redirect is followed",
        file=TRANSPORT,
        old="        encoding = answer.header",
        new=(
            '        if answer.header("Location"):\n'
            "            answer.body()\n"
            "            connection.send(wire.method, wire.target('', call), headers, "
            "wire.body, call)\n"
            "            answer = connection.receive(wire.method, call, "
            "largest=LARGEST_BODY)\n"
            "        encoding = answer.header"
        ),
        tests=(f"{IN_HOSTILE}test_redirect_is_not_followed",),
    ),
    Mistake(
        name="a redirect means that a write was not applied",
        file=FAILURES,
        old='        return Unknown, advice, "unknown"',
        new='        return Refused, advice, "not done"',
        tests=(f"{IN_HOSTILE}test_redirect_is_not_followed",),
    ),
    Mistake(
        name="an answer with two lengths has the first",
        file=ANSWER,
        old="if headers.setdefault(name, value) != value and name in _MUST_AGREE:",
        new="if headers.setdefault(name, value) is None:",
        tests=(f"{IN_HEADS}test_fault_49_head_that_is_none_is_refused[two lengths]",),
    ),
    Mistake(
        name="a line that is no header is left out",
        file=ANSWER,
        old='raise http.client.HTTPException("a line of its head is no header")',
        new="continue",
        tests=(f"{IN_HEADS}test_fault_49_head_that_is_none_is_refused",),
    ),
    Mistake(
        name="the end of a head that comes in two pieces is not seen",
        file=ANSWER,
        old="searched = max(0, len(self._data) - 3)",
        new="searched = len(self._data)",
        tests=(f"{IN_HEADS}test_lines_may_end_with_a_line_feed_alone",),
    ),
    Mistake(
        name="a coding that is not known counts as none",
        file=ANSWER,
        old='if coding not in ("", "chunked"):',
        new="if False:",
        tests=(
            f"{IN_HEADS}test_fault_49_head_that_is_none_is_refused[another coding]",
        ),
    ),
    Mistake(
        name="headers are known by one spelling only",
        file=ANSWER,
        old='return self._response.headers.get(name.lower(), "")',
        new='return self._response.headers.get(name, "")',
        tests=(f"{IN_CLIENT}test_headers_of_an_answer_are_known_in_any_spelling",),
    ),
    Mistake(
        name="Retry-After is not passed on",
        file=FAILURES,
        old="        retry_after=_seconds(retry_after),",
        new="        retry_after=None,",
        tests=(f"{IN_CLIENT}test_throttling_comes_as_text",),
    ),
    Mistake(
        name="whatever a 200 brings is the Lease that was written",
        file=CLIENT,
        old="        if problem is not None:\n            return self._unknown(request, f",
        new="        if False:\n            return self._unknown(request, f",
        tests=(f"{IN_HOSTILE}test_answer_that_is_not_the_lease_is_unknown",),
    ),
    Mistake(
        name="an answer that was cut off is taken as it is",
        file=ANSWER,
        old="        if response.length:\n            raise",
        new="        if False:\n            raise",
        tests=(f"{IN_HOSTILE}test_answer_that_ends_before_its_length_is_unknown",),
    ),
    Mistake(
        name="a write that was sent and not answered counts as not sent",
        file=TRANSPORT,
        old="            return answer_is_unknown(\n                request,\n                trouble_of(error, call),",
        new=(
            "            return not_sent(request, error, credentials=credentials)\n"
            "            return answer_is_unknown(\n                request,\n"
            "                trouble_of(error, call),"
        ),
        tests=(f"{IN_CONNECTIONS}test_fault_30_write_is_never_sent_twice",),
    ),
    Mistake(
        name="422 of a creating PUT that came too late is an error of its own",
        file=FAILURES,
        old='if request.creating and "must be specified for an update" in status.message:',
        new="if False:",
        tests=(
            f"{IN_CLIENT}test_422_must_be_specified_is_a_conflict_for_a_creating_put_only",
        ),
    ),
    # The watch -----------------------------------------------------------------------
    Mistake(
        name="a watch that ends in the middle of an event ends in good order",
        file=WATCH,
        old="    if line.strip():",
        new="    if False:",
        tests=(f"{IN_WATCH}test_fault_40_stream_that_ends_cleanly_in_mid_line",),
    ),
    Mistake(
        name="an error inside the stream is an event like others",
        file=WATCH,
        old='    if kind == "ERROR":',
        new="    if False:",
        tests=(f"{IN_WATCH}test_fault_40_error_inside_a_200_stream",),
    ),
    Mistake(
        name="events of another Lease are passed on",
        file=WATCH,
        old="        if problem is not None:",
        new="        if False:",
        tests=(f"{IN_WATCH}test_fault_40_odd_stream_ends_the_watch",),
    ),
    Mistake(
        name="a watch that was given up brings more events",
        file=CLIENT,
        old="            if call.abandoned:",
        new="            if False:",
        tests=(f"{IN_WATCH}test_abandon_in_an_event_is_the_end_of_events",),
    ),
    Mistake(
        name="no bookmarks are asked for",
        file=CLIENT,
        old='                "allowWatchBookmarks": "true",\n',
        new="",
        tests=(f"{IN_WATCH}test_watch_brings_events_and_bookmarks_and_ends_cleanly",),
    ),
    Mistake(
        name="an open watch ends when its time to open is over",
        file=CLIENT,
        old="        call.limit(silence)\n        if isinstance(stream, Reply)",
        new="        if isinstance(stream, Reply)",
        tests=(f"{IN_WATCH}test_open_watch_outlives_the_time_to_open",),
    ),
    Mistake(
        name="a watch that does not open is waited for without end",
        file=CLIENT,
        old="        call.limit(open_within)",
        new="        pass",
        tests=(f"{IN_WATCH}test_watch_that_does_not_open_in_time_is_given_up",),
        slow=True,
    ),
    Mistake(
        name="a server without a scheme is spoken to in TLS, or never",
        file="credentials/kubeconfig_file.py",
        old='        scheme = "https" if trust.speaks_of_tls else "http"\n',
        new='        scheme = "https"\n',
        tests=(
            (
                "tests/credentials/test_odd_kubeconfigs.py::"
                "test_server_without_a_scheme_is_understood_as_by_kubectl"
            ),
        ),
    ),
]
