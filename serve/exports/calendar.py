"""iCalendar (RFC 5545): the plan in everybody's calendar.

An event's UID is the job's key for good, its SEQUENCE the job's revision, which rises whenever slot, crew
or state change. A proposed job is TENTATIVE, a pinned or finished one CONFIRMED, a dropped one CANCELLED.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from plant.config import Plant
from plant.times import DAY_MS
from serve.exports.cells import clean
from serve.exports.fields import Source
from serve.schedule.plan import Plan, PlannedJob
from serve.schedule.words import Language

_STATUS = {"proposed": "TENTATIVE", "pinned": "CONFIRMED", "done": "CONFIRMED"}


def write_ics(plan: Plan, plant: Plant, language: Language = "en") -> bytes:
    """Return the plan as an iCalendar object: a VTIMEZONE per site zone, a VEVENT per job with a slot."""
    jobs = [(job, start) for job in plan.jobs if (start := _start(job)) is not None]
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Vigie//Maintenance plan//EN",
        "CALSCALE:GREGORIAN",
        "METHOD:PUBLISH",
        f"X-WR-CALNAME:{escape(f'{plant.name}: maintenance')}",
        "REFRESH-INTERVAL;VALUE=DURATION:PT1H",
        "X-PUBLISHED-TTL:PT1H",
    ]
    zones = {plant.timezone(job.asset.site).key for job, _ in jobs}
    starts = [start for _, start in jobs] or [plan.start_ms]
    for key in sorted(zones - {"UTC"}):
        lines += _timezone(ZoneInfo(key), min(starts) - DAY_MS, max(starts) + 60 * DAY_MS)
    for job, start in jobs:
        lines += _event(Source(job, plan, plant, language), start)
    lines.append("END:VCALENDAR")
    return b"".join(fold(line) for line in lines)


def escape(text: str) -> str:
    """Return text for a TEXT value: backslash, semicolon, comma and line breaks escaped (3.3.11)."""
    plain = clean(text).replace("\r\n", "\n").replace("\r", "\n")
    for mark in "\\;,":
        plain = plain.replace(mark, "\\" + mark)
    return plain.replace("\n", "\\n")


def fold(line: str) -> bytes:
    """Return a content line ended by CRLF and folded at 75 octets, never inside a character (3.1)."""
    pieces: list[bytes] = []
    piece = b""
    for character in line:
        octets = character.encode()
        if len(piece) + len(octets) > 75 - (1 if pieces else 0):
            pieces.append(piece)
            piece = b""
        piece += octets
    pieces.append(piece)
    return b"\r\n ".join(pieces) + b"\r\n"


def _start(job: PlannedJob) -> int | None:
    """Return when the event stands; a job that lost its slot is cancelled where it stood."""
    return job.moved_from_ms if job.start_ms is None else job.start_ms


def _event(source: Source, start_ms: int) -> Iterator[str]:
    job = source.job
    stop_ms = job.stop_ms if job.stop_ms is not None else start_ms + round(job.duration_h * 3.6e6)
    zone = source.plant.timezone(job.asset.site)
    stamp = _utc(source.plan.made_ms)
    yield "BEGIN:VEVENT"
    yield f"UID:{escape(job.key)}@vigie"
    yield f"SEQUENCE:{job.revision}"
    yield f"DTSTAMP:{stamp}"
    yield f"LAST-MODIFIED:{stamp}"
    yield f"DTSTART{_local(start_ms, zone)}"
    yield f"DTEND{_local(stop_ms, zone)}"
    yield f"STATUS:{_STATUS.get(job.state, 'CANCELLED')}"
    yield f"SUMMARY:{escape(' '.join(source.title.split()))}"
    yield f"DESCRIPTION:{escape(source.text)}"
    yield f"LOCATION:{escape(str(job.asset))}"
    yield f"CATEGORIES:{escape(job.crew or 'Vigie')}"
    yield f"PRIORITY:{2 * source.priority - 1}"
    yield "TRANSP:OPAQUE"
    if job.simulated:
        yield "X-VIGIE-SIMULATED:TRUE"
        yield f"X-VIGIE-RUN-ID:{escape(job.run_id)}"
    yield "END:VEVENT"


def _utc(ts_ms: int) -> str:
    return datetime.fromtimestamp(ts_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")


def _local(ts_ms: int, zone: ZoneInfo) -> str:
    if zone.key == "UTC":
        return f":{_utc(ts_ms)}"
    here = datetime.fromtimestamp(ts_ms / 1000, UTC).astimezone(zone)
    return f";TZID={zone.key}:{here:%Y%m%dT%H%M%S}"


def _timezone(zone: ZoneInfo, from_ms: int, to_ms: int) -> list[str]:
    """Return a VTIMEZONE with every change of offset that the events may need (3.6.5)."""
    lines = ["BEGIN:VTIMEZONE", f"TZID:{zone.key}"]
    for since, before, after, name, summer in _changes(zone, from_ms, to_ms):
        kind = "DAYLIGHT" if summer else "STANDARD"
        lines += [
            f"BEGIN:{kind}",
            f"DTSTART:{since:%Y%m%dT%H%M%S}",
            f"TZOFFSETFROM:{_offset(before)}",
            f"TZOFFSETTO:{_offset(after)}",
            f"TZNAME:{escape(name)}",
            f"END:{kind}",
        ]
    return [*lines, "END:VTIMEZONE"]


def _changes(
    zone: ZoneInfo, from_ms: int, to_ms: int
) -> Iterable[tuple[datetime, timedelta, timedelta, str, bool]]:
    """Yield (local time before the change, offset before, offset after, name, summer time)."""
    moment = datetime.fromtimestamp(from_ms / 1000, UTC) - timedelta(days=370)
    end = datetime.fromtimestamp(to_ms / 1000, UTC) + timedelta(days=370)
    moment = moment.replace(minute=0, second=0, microsecond=0)
    yield _change(moment.astimezone(zone), moment.astimezone(zone))
    while moment < end:
        later = moment + timedelta(days=1)
        if later.astimezone(zone).utcoffset() != moment.astimezone(zone).utcoffset():
            step = moment
            while step.astimezone(zone).utcoffset() == moment.astimezone(zone).utcoffset():
                step += timedelta(minutes=15)
            yield _change(moment.astimezone(zone), step.astimezone(zone))
        moment = later


def _change(old: datetime, new: datetime) -> tuple[datetime, timedelta, timedelta, str, bool]:
    before, after = old.utcoffset() or timedelta(), new.utcoffset() or timedelta()
    since = (new.astimezone(UTC) + before).replace(tzinfo=None)
    return since, before, after, new.tzname() or "", bool(new.dst())


def _offset(offset: timedelta) -> str:
    minutes = round(offset.total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"
