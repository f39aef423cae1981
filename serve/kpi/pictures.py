"""Pictures of the monthly report, as SVG to put inline."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from plant.times import DAY_MS
from serve.kpi.count import Group, Report
from serve.kpi.scope import Scope
from serve.kpi.stops import clip

_GREY, _BLUE, _RED, _GREEN = "#c9ced6", "#2f6fab", "#c0392b", "#2a9d5c"


def stoppage_by_week(scope: Scope) -> str:
    """Return bars of planned and unplanned stoppage hours, week by week."""
    week = 7 * DAY_MS
    starts = list(range(scope.start_ms, scope.stop_ms, week))[:60]
    planned, unplanned = [], []
    for start in starts:
        pairs = [clip(m.stops, start, min(start + week, scope.stop_ms)) for m in scope.machines]
        planned.append(sum(p for p, _ in pairs))
        unplanned.append(sum(u for _, u in pairs))
    figure, axes = _figure(5.4, 2.5)
    labels = [datetime.fromtimestamp(s / 1000, UTC).strftime("%d %b") for s in starts]
    at = range(len(starts))
    axes.bar(at, planned, color=_BLUE, label="planned", width=0.7)
    axes.bar(at, unplanned, bottom=planned, color=_RED, label="unplanned", width=0.7)
    every = -(-len(labels) // 7)
    axes.set_xticks(list(at)[::every], labels[::every])
    axes.set_ylabel("machine hours")
    axes.set_ylim(bottom=0, top=None if any(planned) or any(unplanned) else 1)
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return _svg(figure)


def intervals(groups: tuple[Group, ...], name: str, unit: str) -> str:
    """Return one figure of every group with its interval; grey where there is too little data."""
    shown = [g for g in groups if g.kpi(name).value is not None][:20]
    figure, axes = _figure(5.4, 1.1 + 0.28 * max(len(shown), 2))
    for row, group in enumerate(shown):
        kpi = group.kpi(name)
        value = kpi.value if kpi.value is not None else 0.0
        colour = _BLUE if kpi.enough else _GREY
        if kpi.low is not None and kpi.high is not None and abs(kpi.high) != float("inf"):
            axes.plot([kpi.low, kpi.high], [row, row], color=colour, linewidth=2)
        axes.plot([value], [row], "o", color=colour, markersize=5)
    axes.set_yticks(range(len(shown)), [_short(g.name) for g in shown], parse_math=False)
    axes.set_ylim(max(len(shown), 1) - 0.5, -0.5)
    axes.set_xlabel(unit)
    axes.grid(axis="x", color="#e6e6e6")
    if not shown:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", color="#666666")
    return _svg(figure)


def alarms(group: Group) -> str:
    """Return what the alarms came to, as one bar."""
    stories = group.stories
    parts = [
        ("right", len(stories.right), _GREEN),
        ("false", len(stories.wrong), _RED),
        (
            "not settled",
            len(stories.alarms) - len(stories.right) - len(stories.wrong),
            _GREY,
        ),
    ]
    figure, axes = _figure(5.4, 1.2)
    left = 0
    for label, count, colour in parts:
        axes.barh(0, count, left=left, color=colour, label=f"{label}: {count}")
        left += count
    axes.set_yticks([])
    axes.set_xlim(0, max(left, 1))
    axes.set_ylim(-0.5, 1.0)
    axes.set_xlabel("alarms")
    axes.legend(frameon=False, fontsize=8, loc="upper center", ncols=3)
    return _svg(figure)


def pictures(report: Report) -> dict[str, str]:
    """Return the report's pictures by name."""
    groups = report.groups[1:] or report.groups
    return {
        "stoppage": stoppage_by_week(report.scopes[0]),
        "alarms": alarms(report.groups[0]),
        "availability": intervals(groups, "availability", "availability"),
        "mtbf": intervals(groups, "mtbf_h", "hours between failures"),
    }


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_fontsize(8)
    axes.yaxis.label.set_fontsize(8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    """Return the SVG element alone, the same for the same figure (no dates, fixed ids)."""
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "vigie", "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _short(name: str) -> str:
    plain = "".join(c if c.isprintable() and ord(c) < 0x2500 else "\u25a1" for c in name)
    return plain if len(plain) <= 28 else plain[:27] + "…"
