"""How fast messages go from the broker to where they are safe, beside a bare client and Telegraf.

    python -m benchmarks.bench_ingest [--quick] [--seed 1] [--rounds 3] [--cases paho,journal,…]

Every case drains the same number of pre-queued QoS 1 messages of eight values, of twenty machines, from one
real Mosquitto; each runs in a process of its own, whose CPU time and memory are the ones reported.

    paho         a bare paho-mqtt subscriber that only counts
    raw_socket   a bare socket in plain Python that only walks frames and acknowledges
    stock        Vigie to the journal through stock paho (`ingest.receive = "stock"`)
    journal      Vigie to the durable journal (SQLite, WAL, synchronous=FULL)
    workers2     two Vigie workers on a shared subscription, each with its journal
    influx_bare  a bare line-protocol writer to influxd over one connection: prepared batches, nothing read or
                 parsed
    influx_bare2 the same over two connections: influxd has both cores to itself and fills them
    influx       Vigie from the broker to InfluxDB 2: ingest and forwarder in one process, as `vigie run` has
                 them, counted in InfluxDB
    forward      the forwarder alone: what the journal holds already to InfluxDB 2
    telegraf     Telegraf mqtt_consumer to influxdb_v2, when it is on the path (DESIGN: v1.30.3)

All cases are run in turn, `rounds` times; the last line holds the ratios of their medians. `lost` counts
messages that are not where they should be. `cpu_s` is what the measured processes used, their start included;
`broker_cpu_s` and `influxd_cpu_s` what the servers used meanwhile. `cores_msgs_per_s` is what all cores of
this machine could give at that cost (without the start of our processes): no arrangement of the same work is
faster. `journal` and `influx` load their compiled loops before they connect; workers load them while they
work. `influx` and `forward` end when influxd has answered for the last message, as the bare writers do; what
is stored is counted afterwards. Mosquitto has one thread: at 3.5 to 5.5 µs a message (it makes four system
calls to send one and three to read its acknowledgement) more workers gain nothing here.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import urllib3

from benchmarks.ingest_child import peak_mib
from benchmarks.ingest_rig import (
    BASE_MS,
    MACHINES,
    SIGNALS,
    TELEGRAF,
    Bench,
    contract_filters,
    count_in_influx,
    finish,
    readings,
    server_cpu_s,
    settings_of,
    watch_influx,
    with_servers,
)
from benchmarks.report import say
from ingest.settings import IngestSettings
from store.schema import connect, journal_files
from vigie.servers import Influxd, Mosquitto

CASES = (
    "paho", "raw_socket", "stock", "journal", "workers2", "influx_bare", "influx", "influx_bare2",
    "forward", "telegraf",
)  # fmt: skip


def in_journals(data_dir: Path) -> int:
    """Count distinct readings over all journals of a folder: what is really there."""
    keys: set[tuple[str, int]] = set()
    for file in journal_files(data_dir):
        db = connect(file, read_only=True)
        keys.update(
            db.execute("select path, ts from reading join asset on asset.id = reading.asset")
        )
        db.close()
    return len(keys)


def case_paho(bench: Bench) -> dict[str, Any]:
    bench.prepare("paho", contract_filters())
    said, usage = finish(bench.child("paho", {"client_id": "paho"}))
    return bench.figures(said["last"] - said["first"], said["stored"], usage, said["peak_mib"])


def case_raw_socket(bench: Bench) -> dict[str, Any]:
    bench.prepare("raw_socket", contract_filters())
    before = server_cpu_s(bench.broker)
    said, usage = finish(bench.child("raw_socket", {"client_id": "raw_socket"}))
    figures = bench.figures(said["last"] - said["first"], said["stored"], usage, said["peak_mib"])
    return with_servers(figures, 0.0, broker_cpu_s=server_cpu_s(bench.broker) - before)


def _to_journal(bench: Bench, case: str, **spec: Any) -> dict[str, Any]:
    workers = spec.get("workers", 1)
    prefix = f"$share/{IngestSettings().share_group}/" if workers > 1 else ""
    bench.prepare(case, contract_filters(prefix), workers)
    data_dir = bench.scratch / case
    before = server_cpu_s(bench.broker)
    said, usage = finish(
        bench.child("journal", {"client_id": case, "data_dir": str(data_dir), **spec})
    )
    figures = bench.figures(
        said["last"] - said["first"], in_journals(data_dir), usage, said["peak_mib"]
    )
    return with_servers(
        figures, said["start_cpu_s"], broker_cpu_s=server_cpu_s(bench.broker) - before
    )


def case_stock(bench: Bench) -> dict[str, Any]:
    return _to_journal(bench, "stock", receive="stock")


def case_journal(bench: Bench) -> dict[str, Any]:
    return _to_journal(bench, "journal")


def case_workers2(bench: Bench) -> dict[str, Any]:
    return _to_journal(bench, "workers2", workers=2)


def case_influx_bare(bench: Bench, connections: int = 1) -> dict[str, Any]:
    """Write prepared line protocol over kept connections, as fast as influxd takes it."""
    batch = 5_000
    lines = []
    for machine in range(MACHINES):
        for i, payload in enumerate(readings(bench.messages // MACHINES, bench.seed + machine)):
            values = orjson.loads(payload)["values"]
            fields = ",".join(f"{name}={value}" for name, value in values.items())
            lines.append((i, f"bare,asset=pump-{machine} {fields} {BASE_MS + i * 100}"))
    lines.sort()  # interleaved in time, as machines send
    bodies = [
        "\n".join(line for _, line in lines[i : i + batch]).encode()
        for i in range(0, len(lines), batch)
    ]
    with Influxd() as server, ThreadPoolExecutor(connections) as threads:
        pool = urllib3.HTTPConnectionPool("127.0.0.1", server.port, maxsize=connections)
        path = f"/api/v2/write?org={server.org}&bucket={server.bucket}&precision=ms"
        headers = {"Authorization": f"Token {server.token}"}

        def write(body: bytes) -> None:
            answer = pool.request("POST", path, body=body, headers=headers)
            assert answer.status == 204, answer.data

        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.monotonic()
        list(threads.map(write, bodies))
        seconds = time.monotonic() - began
        usage = resource.getrusage(resource.RUSAGE_SELF)
        influxd_cpu_s = server_cpu_s(server)
        stored = count_in_influx(server, server.bucket, "bare", "flow")
    figures = bench.figures(seconds, stored, usage, peak_mib())
    spent = before.ru_utime + before.ru_stime
    figures["cpu_s"] = round(figures["cpu_s"] - spent, 2)
    figures["influxd_cpu_s"] = influxd_cpu_s
    return figures


def case_influx_bare2(bench: Bench) -> dict[str, Any]:
    return case_influx_bare(bench, connections=2)


def case_influx(bench: Bench) -> dict[str, Any]:
    data_dir = bench.scratch / "influx"
    bench.prepare("influx", contract_filters())
    before = server_cpu_s(bench.broker)
    with Influxd() as server:
        spec = {"client_id": "influx", "data_dir": str(data_dir), "influx": settings_of(server)}
        said, usage = finish(bench.child("journal", spec))
        influxd_cpu_s = server_cpu_s(server)
        stored = count_in_influx(server, server.bucket, "reading", "flow")
    seconds = said["forwarded"] - said["first"]
    figures = bench.figures(seconds, stored, usage, said["peak_mib"])
    figures["journal_msgs_per_s"] = round(bench.messages / (said["last"] - said["first"]))
    broker_cpu_s = server_cpu_s(bench.broker) - before
    return with_servers(
        figures, said["start_cpu_s"], broker_cpu_s=broker_cpu_s, influxd_cpu_s=influxd_cpu_s
    )


def case_forward(bench: Bench) -> dict[str, Any]:
    """What is in the journal already goes to InfluxDB: no broker and no ingest beside it."""
    data_dir = bench.scratch / "forward"
    bench.prepare("forward", contract_filters())
    finish(bench.child("journal", {"client_id": "forward", "data_dir": str(data_dir)}))
    with Influxd() as server:
        spec = {"data_dir": str(data_dir), "influx": settings_of(server)}
        said, usage = finish(bench.child("forward", spec))
        influxd_cpu_s = server_cpu_s(server)
        stored = count_in_influx(server, server.bucket, "reading", "flow")
    seconds = said["forwarded"] - said["first"]
    figures = bench.figures(seconds, stored, usage, said["peak_mib"])
    return with_servers(figures, said["start_cpu_s"], influxd_cpu_s=influxd_cpu_s)


def case_telegraf(bench: Bench) -> dict[str, Any] | None:
    program = shutil.which("telegraf")
    if program is None:
        say("telegraf is not on the path: case left out")
        return None
    bench.prepare("telegraf", contract_filters(), v5=False)
    with Influxd() as server:
        config = bench.scratch / "telegraf.conf"
        config.write_text(
            TELEGRAF.format(
                log=bench.scratch / "telegraf.log",
                port=bench.broker.port,
                url=server.url,
                token=server.token,
                org=server.org,
                bucket=server.bucket,
            )
        )
        process = subprocess.Popen([program, "--config", str(config)], stderr=subprocess.DEVNULL)
        early, seconds = watch_influx(bench, server)
        stored = count_in_influx(server, server.bucket, "mqtt_consumer", "values_flow")
        influxd_cpu_s, peak = server_cpu_s(server), peak_mib(process.pid)
        process.terminate()
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    figures = bench.figures(seconds, stored, usage, peak)
    rate = (bench.messages - early) / seconds if seconds > 0 else 0.0
    figures["msgs_per_s"], figures["values_per_s"] = round(rate), round(rate * len(SIGNALS))
    figures["influxd_cpu_s"] = influxd_cpu_s
    return figures


RATIOS = (
    ("journal_to_telegraf", "journal", "telegraf"),
    ("journal_to_paho", "journal", "paho"),
    ("influx_to_telegraf", "influx", "telegraf"),
    ("influx_to_influx_bare", "influx", "influx_bare"),
    ("influx_to_influx_bare2", "influx", "influx_bare2"),
    ("forward_to_influx_bare", "forward", "influx_bare"),
    ("workers2_to_journal", "workers2", "journal"),
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="40,000 messages instead of 400,000")
    parser.add_argument("--messages", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=0, help="3 times all cases, once when quick")
    parser.add_argument("--cases", default=",".join(CASES))
    options = parser.parse_args()
    messages = options.messages or (40_000 if options.quick else 400_000)
    rounds = options.rounds or (1 if options.quick else 3)
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="vigie-bench-") as scratch:
        for round_, case in product(range(1, rounds + 1), options.cases.split(",")):
            # A fresh broker per case: no session or queue of another one weighs on it.
            with Mosquitto(config="max_inflight_messages 0") as broker:
                folder = Path(scratch) / str(round_)
                folder.mkdir(exist_ok=True)
                figures = globals()[f"case_{case}"](
                    Bench(broker, messages, options.seed + round_ - 1, folder)
                )
            if figures is not None:
                rates.setdefault(case, []).append(figures["msgs_per_s"])
                line = {"bench": "ingest", "case": case, "round": round_, **figures}
                print(json.dumps(line), flush=True)
    ratios = {
        name: round(median(rates[a]) / median(rates[b]), 2)
        for name, a, b in RATIOS
        if rates.get(a) and rates.get(b)
    }
    if ratios:
        print(json.dumps({"bench": "ingest", "case": "ratios", **ratios}), flush=True)


if __name__ == "__main__":
    main()
