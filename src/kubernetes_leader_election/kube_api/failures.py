"""
Judge an answer of the API server: which result it is, and how to tell a person.

The table of what each status means for a write:

.. code-block:: text

    2xx with the Lease            done         2xx with anything else     unknown
    401 403 404 409 410 422 429   not done     other 4xx                  not done
    3xx (never followed)          unknown      5xx, 504, 1xx              unknown

Whatever 4xx an admission webhook chose for its refusal, a 409 too: not done, and no
conflict.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from typing import Any

from kubernetes_leader_election.credentials.base import Credentials, Headers
from kubernetes_leader_election.errors import CredentialsError, LeaseApiError, Outcome
from kubernetes_leader_election.kube_api.call import Call, CallOverError
from kubernetes_leader_election.kube_api.decoding import (
    Undecodable,
    decode_object,
)
from kubernetes_leader_election.kube_api.resources import LEASES, Resource
from kubernetes_leader_election.kube_api.results import (
    Conflict,
    Failure,
    NotFound,
    NotSent,
    Refused,
    Unknown,
)
from kubernetes_leader_election.rights import ELECTION
from kubernetes_leader_election.text import printable
from kubernetes_leader_election.values import Value, replace

__all__ = [
    "Request",
    "Status",
    "answer_is_unknown",
    "judge_failure",
    "not_sent",
]

_DOUBT = "Whether it was applied is not known."
_ANONYMOUS = "system:anonymous"
_CORE = '""'
"""How a rule names the API group that has no name."""
_NO_RIGHT = re.compile(
    r'[^:]*forbidden: User "(?P<user>(?:[^"\\]|\\.)*)" cannot (?P<verb>\w+) '
    r'(?P<kind>resource|path) "(?P<what>[^"]*)"(?: in API group "(?P<group>[^"]*)")?'
)
"""What the API server says where a right is missing, and nobody else does."""
_WEBHOOK = re.compile(r'admission webhook "[^"]*"(?= denied the request)')
_POLICY = re.compile(
    rf"{_WEBHOOK.pattern}"
    r"|ValidatingAdmissionPolicy '[^']*'(?= with binding)"
    r"|quota: [^\s,]+"
)
_RAN_OUT = re.compile(r"\btime(?:d )?-?out\b|deadline exceeded", re.IGNORECASE)


class Request(Value):
    """What was asked, for the messages."""

    verb: str
    """The RBAC verb: get, update, create, watch, ..."""
    namespace: str
    name: str
    """Empty for a request about no single object."""
    everywhere: bool = False
    """Whether it is about all namespaces; ``namespace`` is empty then."""
    creating: bool = False
    """A PUT without resourceVersion, which is to create the Lease (rule 6)."""
    resource: Resource = LEASES
    """The kind of object that is asked for."""
    target: str = ""
    """The path, for a request about something else than objects."""
    needs: tuple[str, ...] = ELECTION
    """The rights that whoever asks has to have, all in all, for the advice."""

    @property
    def reads(self) -> bool:
        """Whether it changes nothing, applied or not."""
        return self.verb in {"get", "list", "watch", "GET"}

    @property
    def scope(self) -> str | None:
        """The namespace that it is about; None: all of them."""
        return None if self.everywhere else self.namespace

    def __str__(self) -> str:
        if self.target:
            return f"{self.verb} {self.target}"
        kind = self.resource.kind
        what = f"{kind} {self.namespace}/{self.name}" if self.name else f"{kind}s"
        if not self.name:
            where = (
                "all namespaces" if self.everywhere else f"namespace {self.namespace}"
            )
            what = f"{kind}s in {where}"
        return f"{'create' if self.creating else self.verb} {what}"


class Status(Value):
    """The parts of an error answer that are looked at; empty where it has none."""

    code: int
    reason: str = ""
    message: str = ""
    kind: str = ""
    causes: tuple[str, ...] = ()
    is_status: bool = False
    """Whether it has the form of a ``Status``, with or without naming its kind."""

    @classmethod
    def read(cls, code: int, body: bytes) -> Status:
        """Read an error body: a Status, a Status without kind, or any text."""
        try:
            return cls.of(decode_object(body), code)
        except Undecodable:
            text = body[:2000].decode("utf-8", "replace").strip()
            # A page of HTML helps nobody in a log.
            return cls(code=code, message="" if text.startswith("<") else text)

    @classmethod
    def of(cls, value: Mapping[str, Any], code: int = 0) -> Status:
        """Read a Status that is decoded already."""
        details = value.get("details")
        details = details if isinstance(details, dict) else {}
        causes = details.get("causes")
        own_code = value.get("code")
        return cls(
            code=code or (own_code if isinstance(own_code, int) else 0),
            reason=_text(value.get("reason")),
            message=_text(value.get("message")),
            kind=_text(details.get("kind")),
            causes=tuple(
                _text(c.get("reason"))
                for c in (causes if isinstance(causes, list) else ())
                if isinstance(c, dict)
            ),
            is_status=value.get("status") == "Failure",
        )


def judge_failure(
    request: Request,
    status: Status,
    *,
    credentials: Credentials,
    sent: Headers,
    call: Call,
    retry_after: str = "",
) -> Failure:
    """
    Return the result that an answer other than 2xx means.

    ``sent`` are the headers of the request: a server that echoes them must not get a
    token into our messages (fault 50). ``call`` knows how long the answer took.
    """
    status = replace(
        status,
        message=credentials.redact(status.message, sent),
        reason=credentials.redact(status.reason, sent),
    )
    judge = _JUDGES.get(status.code)
    if _WEBHOOK.match(status.message) and 400 <= status.code < 500:
        judge = _denied
    failure, advice, outcome = (
        judge(request, status, credentials) if judge else _other(request, status, call)
    )
    error = LeaseApiError(
        _message(request, status, advice, credentials),
        status=status.code,
        reason=status.reason or None,
        retry_after=_seconds(retry_after),
        outcome=outcome,
    )
    return failure(error=error)


def answer_is_unknown(
    request: Request,
    trouble: str,
    *,
    credentials: Credentials,
    status: int | None = None,
    cause: BaseException | None = None,
) -> Unknown:
    """Return the result of a request that was sent and not understandably answered."""
    doubt = "" if request.reads else f" {_DOUBT}"
    error = LeaseApiError(
        f"Could not {request} at {credentials.server.url}: {trouble}.{doubt}",
        status=status,
        outcome="unknown",
    )
    error.__cause__ = without_frames(cause)
    return Unknown(error=error)


def without_frames(cause: BaseException | None) -> BaseException | None:
    """
    Let go of the frames that an exception came through.

    They hold the request with its token, and would live as long as the error does.
    """
    link = cause
    for _ in range(16):
        if link is None:
            break
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return cause


_Judgement = tuple[type[Failure], str, Outcome]


def _unauthorised(_r: Request, _s: Status, credentials: Credentials) -> _Judgement:
    if credentials.is_anonymous:
        advice = (
            f"The request was sent with {credentials.login_description} (from "
            f"{credentials.source}), and the server wants to know who asks. "
            "Give a token or a client certificate."
        )
    else:
        advice = (
            f"The server does not accept {credentials.login_description} (from "
            f"{credentials.source}): it is expired, revoked or meant for another "
            "cluster."
        )
    return Refused, advice, "not done"


def _forbidden(
    request: Request, status: Status, credentials: Credentials
) -> _Judgement:
    if "NamespaceTerminating" in status.causes:
        advice = f"Namespace {request.namespace} is being deleted: use another one."
        return Refused, advice, "not done"
    missing = _NO_RIGHT.match(status.message)
    if missing is None:
        return _denied(request, status, credentials)
    if missing["user"] == _ANONYMOUS:
        advice = (
            f"The request was sent with {credentials.login_description} (from "
            f"{credentials.source}), so the server does not know who asks. Give a token "
            "or a client certificate."
        )
        return Refused, advice, "not done"
    return Refused, _rule(request, missing), "not done"


def _rule(request: Request, missing: re.Match[str]) -> str:
    """Say which right is missing and, for what was asked, the rule that gives it all."""
    user, verb, what, group = missing.group("user", "verb", "what", "group")
    if missing["kind"] == "path":
        return f'{user} may not {verb} the path "{what}".'
    resource = request.resource
    if what.partition("/")[0] != resource.plural or group not in {None, resource.group}:
        # Such as impersonating a user: no rule about what was asked helps.
        about = f"{what}.{group}" if group else what
        return f'The verb "{verb}" on {about} is missing for {user}.'
    verbs = [*request.needs, *([] if verb in request.needs else [verb])]
    named = resource.rule_names_it and request.name
    names = f"resourceNames: [{request.name}], " if named else ""
    role = f"Role in namespace {request.namespace}"
    if request.everywhere:
        role = "ClusterRole"
    return (
        f'The verb "{verb}" is missing. Add this rule to a {role} that is bound to {user}: '
        f"- {{apiGroups: [{resource.group or _CORE}], resources: [{resource.plural}], {names}"
        f"verbs: [{', '.join(verbs)}]}}"
    )


def policy_of(text: str) -> str:
    """Return the webhook, policy or quota that refused a write; empty if none is named."""
    found = _POLICY.search(text)
    return found[0] if found else ""


def _denied(request: Request, status: Status, _c: Credentials) -> _Judgement:
    """Refuse what is not a matter of rights: the server's own words tell the most."""
    policy = policy_of(status.message)
    if policy:
        advice = (
            f"That is no missing right: {policy} refuses it. "
            f"Exempt the {request.resource.kind} there."
        )
    else:
        advice = (
            "The server names no missing right: an admission policy, or a proxy on the "
            "way, may have refused it."
        )
    return Refused, advice, "not done"


def _not_found(
    request: Request, status: Status, credentials: Credentials
) -> _Judgement:
    if status.kind == "namespaces" or status.message.startswith("namespaces "):
        advice = (
            f"Namespace {request.namespace} does not exist: create it, or name "
            "another one with namespace=."
        )
        return Refused, advice, "not done"
    kind = request.resource.kind
    ours = status.kind == request.resource.plural
    if status.is_status and status.reason == "NotFound" and ours:
        return NotFound, "", "not done"
    # Not the word of an API server: nothing can be concluded about the object.
    advice = f"There is no {kind} API at {credentials.server.url}: check that address."
    return Refused, advice, "not done"


def _conflict(_r: Request, _s: Status, _c: Credentials) -> _Judgement:
    return Conflict, "", "not done"


def _unprocessable(
    request: Request, status: Status, credentials: Credentials
) -> _Judgement:
    if request.creating and "must be specified for an update" in status.message:
        # Rule 6: somebody was faster, and the Lease to be created is there.
        return Conflict, "", "not done"
    if policy_of(status.message):
        return _denied(request, status, credentials)
    return Refused, "", "not done"


_JUDGES = {
    401: _unauthorised,
    403: _forbidden,
    404: _not_found,
    409: _conflict,
    422: _unprocessable,
}


def _other(request: Request, status: Status, call: Call) -> _Judgement:
    if 400 <= status.code < 500:
        return Refused, "", "not done"
    if 300 <= status.code < 400:
        advice = "It redirects, which an API server does not do; not followed."
        return Unknown, advice, "unknown"
    advice = "" if request.reads else _DOUBT
    if _RAN_OUT.search(status.message):
        # An admission webhook is what takes long, as a rule: it is on each write.
        advice = f"It took {call.spent}. {advice}".rstrip()
    return Unknown, advice, "unknown"


def _message(
    request: Request, status: Status, advice: str, credentials: Credentials
) -> str:
    # What is no API server begins with the number itself, as "404 page not found" of Go.
    message = re.sub(rf"^(?:HTTP/\S+ )?{status.code}\b[\s:-]*", "", status.message)
    said = printable(message or status.reason or "no explanation", longest=400).rstrip(
        "."
    )
    text = f"Could not {request} at {credentials.server.url}: {status.code} {said}."
    return f"{text} {advice}" if advice else text


def _seconds(retry_after: str) -> float | None:
    # The other form of the header, a date, would need the wall clocks to agree.
    return float(retry_after) if re.fullmatch(r"[0-9]{1,6}", retry_after) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def not_sent(
    request: Request, cause: Exception, *, credentials: Credentials, call: Call
) -> NotSent:
    """Return the result of a request of which not a byte was sent."""
    error = LeaseApiError(
        f"Could not {request} at {credentials.server.url}: "
        f"{_why(cause, credentials, call)} Nothing was sent.",
        outcome="not done",
    )
    error.__cause__ = without_frames(cause)
    return NotSent(error=error)


def _why(cause: Exception, credentials: Credentials, call: Call) -> str:
    server, proxy = credentials.server, credentials.proxy
    host = server.host if proxy is None else f"{proxy.host} (the proxy)"
    way = server.authority if proxy is None else f"the proxy {proxy.authority}"
    match cause:
        case CredentialsError():
            return str(cause)
        case CallOverError():
            return f"{cause} before the request was sent."
        case ssl.SSLCertVerificationError():
            return (
                f"its certificate is not accepted: {cause.verify_message.rstrip('.')}. "
                f"Check the CA and the server's name in {credentials.source}."
            )
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "HTTP_REQUEST"):
            return f"what listens at {way} does not speak TLS. Is it meant for http://?"
        case ssl.SSLError():
            return f"the TLS handshake failed ({cause.reason or 'connection lost'})."
        case socket.gaierror():
            return f"the name {host} cannot be looked up ({cause.strerror})."
        case TimeoutError():
            return f"no connection to {way} in {call.spent}. Is it firewalled?"
        case ConnectionRefusedError() if cause.errno is not None:
            return f"nothing listens at {way} (connection refused)."
        case OSError():
            return f"no connection to {way}: {cause.strerror or cause}."
        case _:
            return f"{cause}."
