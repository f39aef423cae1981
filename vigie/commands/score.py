"""`vigie score`: judge every machine now, once."""

from __future__ import annotations

from typing import Annotated

import typer

from vigie.context import get_context


def command(
    ctx: typer.Context,
    at: Annotated[
        str, typer.Option(help="As of when: now, an ISO time, -2d; `newest` is the newest reading.")
    ] = "newest",
    kind: Annotated[str, typer.Option(help="Only this kind of machine.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="One risk message (vigie.risk.v1) per line.")
    ] = False,
) -> None:
    """Score the machines with the champions and print their risks; nothing is published.

    Fails when a champion was trained on other features than the settings make now.

    Example: `vigie score --json | jq '{asset, p: .p_fail."168h"}'`
    """
    from features.job import FeatureJob
    from plant.errors import DataError, ModelError
    from plant.risk import risk_to_dict
    from plant.times import parse_moment
    from serve.assess import to_risk, without_assessment
    from serve.scorer import Scorer
    from vigie.runtime import registry

    context = get_context(ctx)
    settings = context.settings
    store = context.open_store()
    try:
        seen = {item.asset: item for item in store.assets()}
        if not seen:
            raise DataError(
                "the store holds no readings.", fix="Run `vigie run` or `vigie replay`."
            )
        newest = max(item.last_ms for item in seen.values())
        # The newest reading's bucket is still open: look from just after it closes.
        now_ms = (
            newest + settings.features.bucket_ms + settings.features.lateness_ms
            if at == "newest"
            else parse_moment(at, context.clock.now_ms())
        )
        scorer = Scorer(registry(context), settings.model)
        job = FeatureJob(
            store,
            context.plant,
            settings.features,
            state_file=context.data_dir / "features" / "state.json",
        )
        scorer.refresh()
        job.use_regimes(scorer.regimes())
        found = scorer.score(job.tick(now_ms))
        kinds = sorted({context.plant.kind_of(asset) for asset in found})
        if kind and found and kind not in kinds:
            raise DataError(
                f"there are no readings of kind {kind!r} (there are: {', '.join(kinds)})."
            )
        if found and all(scored.assessment is None for scored in found.values()):
            asset, scored = min(found.items())
            raise ModelError(f"{asset}: {scored.note}")
        risks = []
        for asset, scored in sorted(found.items()):
            if kind and context.plant.kind_of(asset) != kind:
                continue
            sight = seen[asset]
            simulated, run_id = sight.simulated, sight.run_id
            if scored.assessment is None:
                risk = without_assessment(
                    asset,
                    now_ms,
                    "insufficient_data",
                    context.plant,
                    settings.serve,
                    last_ms=sight.last_ms,
                    note=scored.note,
                    simulated=simulated,
                    run_id=run_id,
                )
            else:
                risk = to_risk(
                    scored.assessment,
                    context.plant,
                    settings.serve,
                    previous=None,
                    faults=scored.faults,
                    simulated=simulated,
                    run_id=run_id,
                )
            risks.append(risk)
    finally:
        store.close()
    if as_json:
        import orjson

        for risk in risks:
            typer.echo(orjson.dumps(risk_to_dict(risk)))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("machine", "status", "severity", "24 h", "7 d", "in words")
    for risk in risks:
        p = risk.p_fail or {}
        table.add_row(
            str(risk.asset),
            risk.status,
            risk.severity,
            *(f"{p[h]:.0%}" if h in p else "–" for h in (24, 168)),
            risk.sentence,
        )
    Console().print(table)
