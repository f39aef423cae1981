"""What a kind of machine does when healthy, by operating regime, learned from history only.

Operating signals (load, speed, ambient, product) either cluster into a few regimes (then each has its
own centre and spread per signal) or vary continuously (then a quadratic in them predicts each
signal). What is left, the excess, is what wear adds. What changes slowly in all of it at once
(`features.slow`) are the health indices.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.kernel_digest import NO_MODEL, REGIMES, REGRESSION, excess_rows
from plant.errors import ModelError

Matrix = NDArray[np.float64]
FORMAT = 2


@dataclass(frozen=True, eq=False)
class RegimeModel:
    """A fitted kind: C condition signals, O operating signals, R regimes, P health indices.

    op_centre, op_scale: float64[O]; places: float64[R, O], standardised operating points;
    expected: float64[R, C] (regimes) or float64[1 + O + O(O+1)/2, C] (regression);
    scales: float64[R or 1, C]; reference: float64[C], the scale over all regimes;
    mix_centre: float64[R, C]; mix: float64[R, P, C] (one regime with a regression).
    """

    conditions: tuple[str, ...]
    operating: tuple[str, ...]
    kind: int
    op_centre: Matrix
    op_scale: Matrix
    places: Matrix
    expected: Matrix
    scales: Matrix
    reference: Matrix
    mix_centre: Matrix
    mix: Matrix
    rows: int = field(default=0)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits over every fitted number."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def components(self) -> int:
        """Number of health indices."""
        return int(self.mix.shape[1])

    def arrays(self) -> tuple[Any, ...]:
        """Return the arguments of the kernels from `model` to `mix`."""
        return (self.kind, *(np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS))

    def excess(self, means: Matrix, ops: Matrix) -> tuple[Matrix, Matrix]:
        """Return the excess float64[n, C + P] and the regime float64[n] of bucket means.

        means: float64[n, C]; ops: float64[n, O]. NaN where a value is missing.
        """
        out = np.empty((len(means), len(self.conditions) + self.components))
        regime = np.empty(len(means))
        excess_rows(
            np.ascontiguousarray(means), np.ascontiguousarray(ops), *self.arrays(), out, regime
        )
        return out, regime

    def to_json(self) -> dict[str, Any]:
        """Write the model; `from_json` reads the same bits back."""
        body: dict[str, Any] = {
            "format": FORMAT,
            "conditions": list(self.conditions),
            "operating": list(self.operating),
            "kind": self.kind,
            "rows": self.rows,
        }
        for name in _ARRAYS:
            array = getattr(self, name)
            body[name] = {"shape": list(array.shape), "values": array.ravel().tolist()}
        return body

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> RegimeModel:
        """Read what `to_json` wrote. Raises ModelError for anything else."""
        try:
            if body["format"] != FORMAT or body["kind"] not in {NO_MODEL, REGIMES, REGRESSION}:
                raise ModelError(f"the regime model's format {body['format']!r} is not known.")
            arrays = {
                name: np.array(body[name]["values"], dtype=float).reshape(body[name]["shape"])
                for name in _ARRAYS
            }
            model = cls(
                tuple(body["conditions"]),
                tuple(body["operating"]),
                body["kind"],
                rows=int(body["rows"]),
                **arrays,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the regime model cannot be read ({error}).") from error
        C, O, R = len(model.conditions), len(model.operating), len(model.places)  # noqa: E741 - as in the class
        terms = R if model.kind == REGIMES else 1 + O + O * (O + 1) // 2
        wanted = {
            "op_centre": (O,),
            "op_scale": (O,),
            "places": (R, O),
            "expected": (terms, C),
            "scales": (R if model.kind == REGIMES else 1, C),
            "reference": (C,),
            "mix_centre": (R, C),
            "mix": (R, arrays["mix"].shape[1] if arrays["mix"].ndim == 3 else 0, C),
        }
        for name, shape in wanted.items():
            if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
                raise ModelError(f"the regime model's {name} is damaged.")
        return model


_ARRAYS = (
    "op_centre",
    "op_scale",
    "places",
    "expected",
    "scales",
    "reference",
    "mix_centre",
    "mix",
)
