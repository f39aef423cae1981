"""The forwarder's answer to each way of misbehaving, one at a time, against a server on loopback."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.faults.influx_misbehaves import run
from benchmarks.faults.influx_stub import BEHAVIOURS, InfluxStub
from plant.clock import ManualClock
from store.delivery import Delivery, Stopped, retry_after_s
from store.influx_client import InfluxConnection, InfluxError, Refusal
from store.settings import InfluxSettings
from tests.store.conftest import NOW_MS


@pytest.fixture
def stub() -> Iterator[InfluxStub]:
    with InfluxStub(hang_s=2.0) as server:
        yield server


class Rig:
    """A delivery whose pauses are noted, not slept."""

    def __init__(self, stub: InfluxStub, stop_after: int = 1_000) -> None:
        self.pauses: list[float] = []
        self.stopping = threading.Event()
        self.settings = InfluxSettings(url=stub.url, token="t", timeout_s=0.6)
        self.connection = InfluxConnection(self.settings)
        self.stop_after = stop_after
        self.delivery = Delivery(
            self.connection, ManualClock(NOW_MS), self.stopping, seed=1, pause=self.pause
        )

    def pause(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        if len(self.pauses) >= self.stop_after:
            self.stopping.set()
        return self.stopping.is_set()


@pytest.fixture
def rig(stub: InfluxStub) -> Iterator[Rig]:
    made = Rig(stub)
    yield made
    made.connection.close()


def lines(count: int, poisoned: tuple[int, ...] = ()) -> list[str]:
    return [
        f"reading,asset=p,line=l,site=s a={n}.0{',poison=1' if n in poisoned else ''} {n}"
        for n in range(count)
    ]


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_every_good_point_arrives_after_each_kind_of_trouble(
    stub: InfluxStub, rig: Rig, behaviour: str
) -> None:
    stub.plan = [behaviour]
    outcome = rig.delivery.send("raw", lines(20, poisoned=(3, 17)), "ms")
    assert sorted(ts for _, ts in stub.points) == [n for n in range(20) if n not in {3, 17}]
    assert sorted(line.split()[-1] for line, _ in outcome.refused) == ["17", "3"]
    assert rig.delivery.health.error == ""


@pytest.mark.parametrize("behaviour", ["503_after_86400", "503_after_date"])
def test_no_server_makes_it_wait_longer_than_the_ceiling(
    stub: InfluxStub, rig: Rig, behaviour: str
) -> None:
    stub.plan = [behaviour]
    rig.delivery.send("raw", lines(1), "ms")
    assert rig.pauses == [60.0]


def test_it_waits_as_long_as_it_is_asked_to(stub: InfluxStub, rig: Rig) -> None:
    stub.plan = ["503_after_8", "429", "503_after_0"]
    rig.delivery.send("raw", lines(1), "ms")
    assert rig.pauses[:2] == [8.0, 1.0]
    assert rig.pauses[2] > 0  # 0 is honoured once, then it must not hammer


def test_pauses_double_up_to_the_ceiling(stub: InfluxStub, rig: Rig) -> None:
    stub.plan = ["500"] * 14
    rig.delivery.send("raw", lines(1), "ms")
    assert all(0.5 * min(60, 0.2 * 2**n) <= p <= 60 for n, p in enumerate(rig.pauses))
    assert len(rig.pauses) == 14


@pytest.mark.parametrize(
    ("behaviour", "hint"),
    [
        ("401", "token"),
        ("403", "may not use"),
        ("404", "vigie init"),
        ("hang", "cannot be reached"),
    ],
)
def test_it_says_what_to_do_and_keeps_trying(stub: InfluxStub, behaviour: str, hint: str) -> None:
    rig = Rig(stub, stop_after=3)
    stub.plan = [behaviour] * 3
    with pytest.raises(Stopped):
        rig.delivery.send("raw", lines(2), "ms")
    assert hint in rig.delivery.health.error
    assert stub.points == {}
    rig.connection.close()


def test_a_batch_that_is_too_large_is_split(stub: InfluxStub, rig: Rig) -> None:
    stub.max_body = 200
    outcome = rig.delivery.send("raw", lines(50), "ms")
    assert (len(stub.points), outcome.refused) == (50, [])


def test_a_point_that_is_too_large_alone_is_set_aside(stub: InfluxStub, rig: Rig) -> None:
    stub.max_body = 100
    huge = "reading,asset=p,line=l,site=s " + ",".join(f"f{n}=1.0" for n in range(40)) + " 99"
    outcome = rig.delivery.send("raw", [*lines(3), huge], "ms")
    assert len(stub.points) == 3
    assert [line for line, _ in outcome.refused] == [huge]


def test_bisecting_asks_few_questions(stub: InfluxStub, rig: Rig) -> None:
    rig.delivery.send("raw", lines(1_000, poisoned=(123,)), "ms")
    assert len(stub.log) <= 2 * 10 + 1


def test_order_is_kept_while_bisecting(stub: InfluxStub, rig: Rig) -> None:
    old = "reading,asset=p,line=l,site=s a=1.0 5"
    new = "reading,asset=p,line=l,site=s a=2.0 5"
    rig.delivery.send("raw", [old, *lines(3, poisoned=(1,))[1:2], new], "ms")
    assert [fields["a"] for (_, ts), fields in stub.points.items() if ts == 5] == ["2.0"]


def test_an_encrypted_server_must_show_a_certificate_we_trust(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("SKIPPED FOR WANT OF openssl")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-keyout", key, "-out", certificate, "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = InfluxStub()
    server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
    with server:
        settings = InfluxSettings(url=server.url.replace("http:", "https:"), token="t")
        stranger = InfluxConnection(settings)
        with pytest.raises(InfluxError, match=r"cannot be reached.*ca_file"):
            stranger.write("raw", b"m a=1 1")
        stranger.close()
        trusted = InfluxConnection(settings.model_copy(update={"ca_file": certificate}))
        trusted.write("raw", b"m a=1 1")
        trusted.close()
    assert list(server.points) == [("m", 1)]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("", None), ("8", 8.0), ("soon", None), ("-1", None), ("²", None),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Sat, 22 Nov 2025 08:26:50 GMT", 10.0)],
)  # fmt: skip
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str, seconds: float | None) -> None:
    assert retry_after_s(header, ManualClock(NOW_MS)) == seconds


def test_points_beyond_retention_are_not_poison() -> None:
    # The words of 2.7.12, and those of older servers.
    new = Refusal(422, "partial write: dropped 3 points outside retention policy of duration 168h")
    old = Refusal(422, "partial write: points beyond retention policy dropped=3")
    assert new.beyond_retention
    assert old.beyond_retention
    assert new.dropped == old.dropped == 3
    assert not Refusal(422, "field type conflict").beyond_retention


def test_misbehaving_in_seeded_mixtures_loses_nothing(tmp_path: Path) -> None:
    figures = run(quick=True, seed=3)
    assert figures["lost"] == figures["duplicated"] == figures["wrongly_quarantined"] == 0
    assert figures["quarantined"] == figures["poisoned"] > 0
    assert figures["behaviours"] == len(BEHAVIOURS) + 1  # and being sound
    assert figures["longest_pause_s"] == 60.0
