from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from plant.errors import DataError, StoreError
from serve.exports import Feed, Tokens

BODY = b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path / "feed-tokens.json")


@pytest.fixture
def feed(tokens: Tokens) -> Iterator[Feed]:
    server = Feed(lambda: BODY, tokens, "127.0.0.1", 0)
    server.start()
    yield server
    server.stop()


def _get(feed: Feed, path: str, **headers: str) -> tuple[int, bytes, str]:
    host, port = feed.address
    try:
        with urlopen(Request(f"http://{host}:{port}{path}", headers=headers), timeout=5) as answer:
            return answer.status, answer.read(), answer.headers["ETag"]
    except HTTPError as error:
        with error:
            return error.code, error.read(), str(error.headers["ETag"])


def test_a_token_opens_the_calendar_until_it_is_revoked(feed: Feed, tokens: Tokens) -> None:
    token, secret = tokens.new("wall screen", 1)
    path = f"/calendar/{secret}.ics"
    status, body, tag = _get(feed, path)
    assert (status, body) == (200, BODY)
    assert _get(feed, path, **{"If-None-Match": tag})[0] == 304
    tokens.revoke(token.id)
    assert _get(feed, path)[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/calendar/",
        "/calendar/x.ics",
        "/calendar/" + "A" * 43 + ".ics",
        "/../etc/passwd",
        "/%00",
    ],
)
def test_everything_else_is_not_found(feed: Feed, tokens: Tokens, path: str) -> None:
    tokens.new("a", 1)
    status, body, _ = _get(feed, path)
    assert (status, body) == (404, b"")


def test_secrets_are_not_stored(tokens: Tokens, tmp_path: Path) -> None:
    _, secret = tokens.new("a", 1)
    file = tmp_path / "feed-tokens.json"
    assert secret not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert tokens.allows(secret)
    assert not tokens.allows("")
    assert not tokens.allows(secret + "x")


def test_an_unknown_token_and_a_damaged_file_are_told(tokens: Tokens, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        tokens.revoke("nope")
    (tmp_path / "feed-tokens.json").write_text("{]")
    with pytest.raises(StoreError):
        tokens.all()


def test_a_hostile_plant_name_stays_in_the_file_name(tokens: Tokens) -> None:
    server = Feed(lambda: BODY, tokens, "127.0.0.1", 0, 'x"\r\nSet-Cookie: a=b')
    server.start()
    try:
        _, secret = tokens.new("a", 1)
        host, port = server.address
        with urlopen(f"http://{host}:{port}/calendar/{secret}.ics", timeout=5) as answer:
            assert answer.headers["Set-Cookie"] is None
            assert (
                answer.headers["Content-Disposition"] == 'inline; filename="x-Set-Cookie-a-b.ics"'
            )
    finally:
        server.stop()


def test_no_plan_yet_is_not_found(tokens: Tokens) -> None:
    server = Feed(lambda: None, tokens, "127.0.0.1", 0)
    server.start()
    try:
        _, secret = tokens.new("a", 1)
        assert _get(server, f"/calendar/{secret}.ics")[0] == 404
    finally:
        server.stop()
