"""Fault 50: what others wrote is shown without what looks like a secret."""

from __future__ import annotations

import time

import pytest

from kubernetes_leader_election.credentials.redaction import (
    REDACTED,
    has_secret_name,
    without_secrets,
)

SECRET = "s3cr3t-Zm9v"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJib2IifQ.c2lnbmF0dXJl_-A"
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\nIA==\n-----END EC PRIVATE KEY-----"

SAID = {
    "a bearer token": f"401 for Authorization: Bearer {SECRET}",
    "a bearer token, small": f"sent 'bearer {SECRET}' to the server",
    "a password of basic": f"Basic {SECRET}",
    "an assignment": f"AWS_SESSION_TOKEN={SECRET} aws eks",
    "an assignment with blanks": f"token = {SECRET}",
    "JSON": f'{{"token": "{SECRET}", "kind": "x"}}',
    "JSON in one piece": f'{{"access_token":"{SECRET}"}}',
    "Python's JSON": f"{{'refresh_token': '{SECRET}'}}",
    "JSON that was cut": f'{{"idToken": "{SECRET}',
    "YAML": f"client-key-data: {SECRET}",
    "a query": f"https://login.example.org/?client_secret={SECRET}&x=1",
    "a header": f"Cookie: {SECRET}",
    "an option": f"--client-secret={SECRET}",
    "an option and a word": f"login --password {SECRET} --region eu",
    "a prompt": f"Enter the password: {SECRET}",
    "a URL with a password": f"proxy http://bob:{SECRET}@10.0.0.1:3128 refused",
    "a URL with a token": f"https://{SECRET}@github.example.org/x",
}


@pytest.mark.parametrize("text", SAID.values(), ids=SAID.keys())
def test_secret_with_a_name_is_taken_out(text):
    """What stands beside its name, in every spelling that plugins print."""
    shown = without_secrets(text)
    assert SECRET not in shown
    assert REDACTED in shown


@pytest.mark.parametrize(
    "secret",
    [
        JWT,
        JWT.rpartition(".")[0],
        PEM,
        PEM[:40],
        "k8s-aws-v1.aHR0cHM6Ly9zdHMuZXUtd2VzdC0xLmFtYXpvbmF3cy5jb20vP0FjdGlvbj1H",
        "ya29A0AfB_byC3f9kQW8vLr2mN5pXzT7",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
    ids=["JWT", "half a JWT", "key", "half a key", "AWS", "Google", "hex"],
)
def test_secret_without_a_name_is_known_by_its_form(secret):
    """Nothing of it is left but a public prefix."""
    shown = without_secrets(f"could not use {secret} for this")
    assert REDACTED in shown
    assert not any(secret[at : at + 12] in shown for at in range(12, len(secret) - 12))


def test_secret_that_is_known_is_taken_out_wherever_it_stands():
    """The longest first: one may hold another."""
    shown = without_secrets("got abcd and abcdefgh", known=["abcd", "abcdefgh", "a"])
    assert shown == f"got {REDACTED} and {REDACTED}"


@pytest.mark.parametrize(
    "text",
    [
        "please log in again: run aws sso login",
        "invalid token: signature has expired",
        "error: token has expired",
        "The SSO session associated with this profile has expired.",
        "An error occurred (ExpiredToken) when calling the GetCallerIdentity operation",
        "basic authentication is not supported",
        "no such file: /home/Bob/.config/gcloud/application_default_login_2.json",
        "dial tcp 10.0.0.1:6443: connect: connection refused",
        "request 123e4567-e89b-12d3-a456-426614174000 failed",
        "lookup ip-10-0-0-1.eu-west-1.compute.internal: no such host",
    ],
)
def test_what_a_user_needs_is_left_as_it_is(text):
    """No message of a plugin that tells what to do is taken apart."""
    assert without_secrets(text) == text


@pytest.mark.parametrize("name", ["--token", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD"])
def test_name_of_a_secret_is_known(name):
    """By a part of it, in large or small letters."""
    assert has_secret_name(name)
    assert not has_secret_name("AWS_PROFILE")


def test_password_of_small_letters_is_taken_out():
    """A password is one, however plain; a token that is a word belongs to a sentence."""
    assert without_secrets("password: hunter") == f"password: {REDACTED}"
    assert without_secrets("passwd=hunter x") == f"passwd={REDACTED} x"


@pytest.mark.parametrize(
    "word",
    ["a", "token", 'token"', "--token", "-", "bearer ", "token:'", "://a", "aA1+="],
)
def test_hostile_text_is_searched_in_no_time(word):
    """Fault 50: nobody else runs while a form is searched, not even the engine."""
    began = time.process_time()
    without_secrets(word * (20_000 // len(word)))
    assert time.process_time() - began < 2.0, "minutes, where a form has no bound"
