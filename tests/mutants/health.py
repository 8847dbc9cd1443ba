"""Mistakes in the health of an elector, and in how it is served."""

from __future__ import annotations

from typing import Final

from tests.mutants.mistakes import Mistake

SERVER: Final = "observability/http_server.py"
ENDPOINTS: Final = "observability/endpoints.py"
IN_SERVING: Final = "tests/observability/test_serving.py::"
IN_ENDPOINTS: Final = "tests/observability/test_endpoints.py::"
IN_MOUNTS: Final = "tests/observability/test_mounts.py::"
IN_HEALTH: Final = "tests/lifecycle/test_health.py::"

MISTAKES: Final = [
    Mistake(
        name="a half request keeps its place where connections run out",
        file=SERVER,
        old="self._drop(min(asking or others, key=lambda client: client.until))",
        new="self._drop(max(clients, key=lambda client: client.until))",
        tests=(f"{IN_SERVING}test_many_half_requests_hold_up_nobody",),
    ),
    Mistake(
        name="a client may take for ever over its request",
        file=SERVER,
        old="            elif client.until <= now:\n                self._drop(client)",
        new="            elif client.until <= now and client.is_answered:\n                self._drop(client)",
        tests=(f"{IN_SERVING}test_who_is_slow_is_dropped",),
        slow=True,
    ),
    Mistake(
        name="a child keeps the address of its parent",
        file=SERVER,
        old="        socks: list[Any] = [self._listener, self._woken, self._waker]",
        new="        socks: list[Any] = [self._woken, self._waker]",
        tests=(f"{IN_SERVING}test_child_process_serves_nothing_and_keeps_no_address",),
    ),
    Mistake(
        name="without a free descriptor the server turns in a circle",
        file=SERVER,
        old="                self._poll.unregister(self._listener)\n",
        new="                self._accept_after = 0.0\n                return\n",
        tests=(f"{IN_SERVING}test_no_descriptor_left_is_no_busy_loop",),
    ),
    Mistake(
        name="the thread of the server outlives the electors",
        file="observability/serving.py",
        old="            answer = weakref.WeakMethod(endpoints.answer)",
        new="            answer: Any = lambda: endpoints.answer",
        tests=(f"{IN_SERVING}test_server_ends_with_the_electors",),
        slow=True,
    ),
    Mistake(
        name="only the leader is ready",
        file=ENDPOINTS,
        old="return _verdict(self._first_absence(chosen))",
        new="return _verdict(self._not_led(chosen))",
        tests=(f"{IN_ENDPOINTS}test_endpoints_answer_each_for_itself",),
    ),
    Mistake(
        name="the last update is the time of the answer",
        file=ENDPOINTS,
        old="            if name != self._name:\n",
        new="            if name:\n",
        tests=(f"{IN_ENDPOINTS}test_last_update_stays_while_the_leader_does",),
    ),
    Mistake(
        name="a stream of a mount has no end",
        file="observability/mounts.py",
        old="        if left <= 0:\n            break\n",
        new="        left = max(left, 0.01)\n",
        tests=(f"{IN_MOUNTS}test_asgi_stream_ends_so_that_a_server_can_stop",),
        slow=True,
    ),
    Mistake(
        name="a request is let in where another replica leads",
        file="observability/dependency.py",
        old="            raise not_here() from error\n        except LeadershipLostError as error:\n            raise refusal(_LOST) from error\n\n    def leading_in_threads",
        new="            yield None\n        except LeadershipLostError as error:\n            raise refusal(_LOST) from error\n\n    def leading_in_threads",
        tests=(f"{IN_MOUNTS}test_request_is_work_of_the_term_or_refused",),
    ),
    Mistake(
        name="a stop leaves the replica in the race",
        file="lifecycle/health.py",
        old='    if lifecycle.stopping:\n        return "stopping"\n',
        new="",
        tests=(f"{IN_HEALTH}test_leader_whose_work_drains_at_a_stop_is_absent",),
    ),
    Mistake(
        name="a thread of the election that stands still is well",
        file="engine/engine.py",
        old="            if silent <= LONGEST_TURN:\n",
        new="            if silent > 0:\n",
        tests=(
            f"{IN_HEALTH}test_engine_that_sleeps_is_asked_to_turn_once_a_second",
            f"{IN_HEALTH}test_thread_of_the_election_that_stands_still_is_a_problem",
        ),
    ),
    Mistake(
        name="a thread of the election that has ended had only no time yet",
        file="engine/engine.py",
        old="            self._turned_at = ENDED\n",
        new="            pass\n",
        tests=(
            f"{IN_HEALTH}test_thread_of_the_election_that_has_ended_is_a_problem_at_once",
        ),
    ),
    Mistake(
        name="a new life counts as having looked",
        file="lifecycle/lifecycle.py",
        old="            self._life.is_asked = self._life.may_run = self._life.has_looked = False\n",
        new="            self._life.is_asked = self._life.may_run = False\n",
        tests=(
            f"{IN_HEALTH}test_elector_that_cannot_see_the_lease_is_alive_and_absent",
        ),
    ),
]
