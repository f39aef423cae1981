"""One HTML file about one model: where it comes from and how far to trust it, with pictures."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from features.table import FeatureTable
from models.bundle import Bundle
from models.evaluate import Backtest, Said, figures
from models.explain import importance
from models.score import matching, newest, predict
from plant.asset import AssetPath
from plant.config import Plant
from plant.times import to_iso

_TEMPLATE = jinja2.Template(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ bundle.model_id }}</title>
<style>
 body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
        color: #1b2733; background: #fff }
 h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
 table { border-collapse: collapse } td, th { padding: .15rem .8rem .15rem 0; text-align: left }
 td.n { text-align: right; font-variant-numeric: tabular-nums } img { max-width: 100% }
 .note { background: #fff5da; padding: .6rem .9rem; border-radius: .4rem } small { color: #5b6b7a }
</style></head><body>
<h1>Model {{ bundle.model_id }}</h1>
<p>Kind <b>{{ bundle.kind }}</b>, trained {{ trained }}, data {{ data_from }} to {{ data_to }}:
{{ lineage.assets }} machines, {{ lineage.rows }} rows, {{ lineage.failures }} failures
({{ modes }}).</p>
{% if bundle.why_no_window %}<p class="note">{{ bundle.why_no_window }}</p>{% endif %}
{% if lineage.modes_pooled %}<p class="note">Too few failures to tell these modes apart, they are
reported as “other”: {{ lineage.modes_pooled | join(", ") }}.</p>{% endif %}
{% if lineage.findings %}<p>As-found codes: {{ leaning | round(1) }} % of what it learned as failures
are repairs that found a degraded part.</p>{% endif %}
{% if left_out %}<p class="note">{{ left_out }} lives ended by repairs without a finding, made because the
machines looked bad. Nobody knows how long they would have lasted, so they were left out. Let crews write
what they find (failed, degraded, sound): it is worth more than anything else here.</p>{% endif %}
<h2>On machines it never saw</h2>
<table>{% for name, value in metrics.items() %}<tr><td>{{ name | replace("_", " ") }}</td>
<td class="n">{{ value if value is not none else "–" }}</td></tr>{% endfor %}</table>
{% if lacking %}<p class="note">{{ lacking }}</p>{% endif %}
{% for title, text, picture in pictures %}<h2>{{ title }}</h2><p>{{ text }}</p>
<img alt="{{ title }}" src="data:image/png;base64,{{ picture }}">{% endfor %}
{% if slices %}<h2>Slices of the backtest</h2>
<table><tr><th>slice</th><th>machine-days</th><th>failures</th><th>recall</th>
<th>Brier</th><th>observed / expected</th></tr>
{% for s in slices %}<tr><td>{{ s.name }}</td>
<td class="n">{{ s.days }}</td><td class="n">{{ s.failures }}</td>
<td class="n">{{ s.recall }}</td><td class="n">{{ s.brier }}</td><td class="n">{{ s.ratio }}</td></tr>
{% endfor %}</table>{% endif %}
<p><small>Features {{ bundle.fingerprint }}, seed {{ lineage.seed }},
code {{ lineage.code_version }}.</small></p>
</body></html>""",
    autoescape=True,
)


def write_report(
    out: Path,
    bundle: Bundle,
    table: FeatureTable,
    plant: Plant,
    past: Backtest | None,
    lacking: str = "",
) -> None:
    """Write the report; `table` holds the kind's rows, `past` a backtest; None: `lacking` says why."""
    lineage = dict(bundle.lineage)
    pictures = []
    if bundle.hazard is not None:
        pictures += [_curves(bundle, table), _drivers(bundle)]
    slices: list[dict[str, Any]] = []
    if past is not None:
        pictures = [
            _calibration(past.said),
            _leads(past.said),
            _cost(past.said, bundle, plant),
            *pictures,
        ]
        slices = _slices(past.said)
    text = _TEMPLATE.render(
        bundle=bundle,
        lineage=lineage,
        trained=to_iso(bundle.trained_ms),
        data_from=to_iso(lineage["data_from_ms"])[:10],
        data_to=to_iso(lineage["data_to_ms"])[:10],
        modes=", ".join(
            f"{m or 'not recorded'} {n}" for m, n in lineage["failures_by_mode"].items()
        ),
        leaning=100 * lineage.get("findings", {}).get("share_of_events_from_findings", 0.0),
        left_out=lineage.get("findings", {}).get("unknown_repairs", {}).get("left_out", 0),
        metrics=lineage.get("metrics", {}),
        pictures=pictures,
        lacking=lacking,
        slices=slices,
    )
    out.write_text(text, encoding="utf-8")


def _picture(figure: Figure) -> str:
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _calibration(said: tuple[Said, ...]) -> tuple[str, str, str]:
    p = np.array([s.p_fail for s in said])
    hit = np.array([s.observed and s.ttf_h <= 168 for s in said])
    known = hit | np.array([s.ttf_h > 168 for s in said])
    figure = Figure(figsize=(5, 4))
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], color="#9aa7b3", lw=1)
    order = np.argsort(p[known], kind="stable")
    groups = [g for g in np.array_split(order, min(10, max(1, len(order) // 20))) if len(g)]
    ax.plot(
        [p[known][g].mean() for g in groups],
        [hit[known][g].mean() for g in groups],
        "o-",
        color="#1f6feb",
    )
    ax.set(
        xlabel="predicted probability to fail within 168 h",
        ylabel="share that did",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    text = "Each point is a tenth of the backtest's machine-days; on the line, words mean what they say."
    return "Calibration", text, _picture(figure)


def _leads(said: tuple[Said, ...]) -> tuple[str, str, str]:
    figure = Figure(figsize=(6, 3.2))
    ax = figure.subplots()
    for threshold, colour in ((0.3, "#8ab4f8"), (0.5, "#1f6feb"), (0.7, "#0b3d91")):
        first: dict[tuple[str, float], float] = {}
        for s in said:
            if s.observed and s.p_fail >= threshold and s.ttf_h <= 336:
                key = (s.asset, round(s.ts_ms / 3.6e6 + s.ttf_h))
                first[key] = max(first.get(key, 0.0), s.ttf_h)
        ax.hist(list(first.values()), bins=list(range(0, 337, 24)), histtype="step", lw=1.8, color=colour,
                label=f"alarm at {threshold:.0%}")  # fmt: skip
    ax.set(xlabel="hours between the first alarm and the failure", ylabel="failures")
    ax.legend(frameon=False)
    return (
        "Lead time",
        "How long before each failure of the backtest the alarm came first.",
        _picture(figure),
    )


def _cost(said: tuple[Said, ...], bundle: Bundle, plant: Plant) -> tuple[str, str, str]:
    """Cost per machine-month of alarming at each threshold, with the plant's own repair costs."""
    modes = plant.kinds[bundle.kind].modes.values() if bundle.kind in plant.kinds else ()
    planned = float(np.mean([m.planned_cost for m in modes])) if modes else 1_000.0
    unplanned = float(np.mean([m.unplanned_cost for m in modes])) if modes else 10_000.0
    thresholds = np.linspace(0.05, 0.95, 19)
    months = max(len(said) / 30.0, 1e-9)
    costs = []
    for threshold in thresholds:
        f = figures(said, 168.0, float(threshold), 8.0)
        missed = int(f["failures"] or 0) - int(f["foreseen"] or 0)
        repairs = int(f["foreseen"] or 0) + int(f["false_alarms"] or 0)
        costs.append((planned * repairs + unplanned * missed) / months)
    figure = Figure(figsize=(6, 3.2))
    ax = figure.subplots()
    ax.plot(thresholds, costs, color="#1f6feb")
    best = int(np.argmin(costs))
    ax.plot(thresholds[best], costs[best], "o", color="#d1242f")
    ax.set(
        xlabel="alarm threshold (168 h)",
        ylabel=f"{plant.currency} per machine-month",
        ylim=(0, None),
    )
    text = (
        f"A planned repair at {planned:,.0f}, an unplanned one at {unplanned:,.0f} {plant.currency}:"
        f" cheapest at {thresholds[best]:.0%} in the backtest."
    )
    return "Cost", text, _picture(figure)


def _curves(bundle: Bundle, table: FeatureTable) -> tuple[str, str, str]:
    rows = matching(bundle, newest(table))
    p = predict(bundle, rows.X)
    figure = Figure(figsize=(6, 3.6))
    ax = figure.subplots()
    if p.curves is not None:
        order = np.argsort(p.curves.survival[:, -1])[:12]
        for i in order:
            asset = AssetPath.parse(str(rows.assets[i]))
            name = f"{asset.line}/{asset.asset}"
            ax.plot(p.curves.edges_h, p.curves.survival[i], label=name, lw=1.3)
        ax.legend(frameon=False, fontsize=7, ncols=2)
    ax.set(xlabel="hours from now", ylabel="probability still to run", ylim=(0, 1.02))
    return (
        "Survival now",
        "The twelve machines most at risk at the end of the data.",
        _picture(figure),
    )


def _drivers(bundle: Bundle) -> tuple[str, str, str]:
    shares = list(importance(bundle).items())[:15][::-1]
    figure = Figure(figsize=(6, 0.28 * len(shares) + 0.8))
    ax = figure.subplots()
    ax.barh([name for name, _ in shares], [100 * share for _, share in shares], color="#1f6feb")
    ax.set(xlabel="share of what the trees gained, %")
    return "Drivers", "What the model as a whole listens to, by signal.", _picture(figure)


def _slices(said: tuple[Said, ...]) -> list[dict[str, Any]]:
    keys = {"all": list(said)}
    for s in said:
        path = AssetPath.parse(s.asset)
        keys.setdefault(f"line {path.line_path}", []).append(s)
    rows = []
    for name, part in keys.items():
        f = figures(part, 168.0, 0.5, 8.0)
        rows.append(
            {
                "name": name,
                "days": f["days"],
                "failures": f["failures"],
                "recall": _number(f["recall"]),
                "brier": _number(f["brier"]),
                "ratio": _number(f["observed_over_expected"]),
            }
        )
    return rows


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
