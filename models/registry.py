"""The models on disk: one folder per kind, one per model, and a champion that is chosen atomically.

<directory>/<kind>/<model_id>/manifest.json …
<directory>/<kind>/champion.json             who is champion, and the history of promotions
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.bundle import MANIFEST, Bundle, load, read_verified, save
from plant.errors import ModelError

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_CHAMPION = "champion.json"
History = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One model as the registry lists it."""

    kind: str
    model_id: str
    trained_ms: int
    champion: bool
    lineage: Mapping[str, Any]
    has_window: bool


@dataclass(frozen=True, slots=True)
class Registry:
    """The models below `directory`."""

    directory: Path

    def add(self, bundle: Bundle) -> Path:
        """Write a bundle; adding the same model again is harmless. Returns its folder."""
        path = self.path(bundle.kind, bundle.model_id)
        if not path.exists():
            save(bundle, path)
        return path

    def path(self, kind: str, model_id: str) -> Path:
        """Return where a model lives. Raises ModelError on a name that could lead elsewhere."""
        for name in (kind, model_id):
            if not _NAME.fullmatch(name) or name in {".", ".."}:
                raise ModelError(
                    f"{name[:60]!r} is not a model's name.", fix="See `vigie models list`."
                )
        return self.directory / kind / model_id

    def kinds(self) -> list[str]:
        """Return the kinds that have models, sorted."""
        if not self.directory.is_dir():
            return []
        return sorted(
            p.name for p in self.directory.iterdir() if p.is_dir() and _NAME.fullmatch(p.name)
        )

    def list(self, kind: str | None = None) -> list[Entry]:
        """Return the models, oldest first. A damaged one is listed with what is wrong with it."""
        entries = []
        for one in self.kinds() if kind is None else [kind]:
            folder = self.directory / one
            champion = self.champion_id(one)
            for path in sorted(folder.iterdir()) if folder.is_dir() else []:
                if not (path / MANIFEST).exists() or path.name.startswith("."):
                    continue
                try:
                    m, _ = read_verified(path)
                    entry = Entry(
                        one,
                        path.name,
                        int(m["trained_ms"]),
                        path.name == champion,
                        dict(m["lineage"]),
                        m["hazard"] is not None,
                    )
                except ModelError as error:
                    entry = Entry(
                        one, path.name, 0, path.name == champion, {"damaged": str(error)}, False
                    )
                entries.append(entry)
        return sorted(entries, key=lambda e: (e.kind, e.trained_ms, e.model_id))

    def load(self, kind: str, model_id: str, fingerprint: str | None = None) -> Bundle:
        """Read one model. Raises ModelError when it is missing, damaged or of other features."""
        return load(self.path(kind, model_id), fingerprint)

    def find(self, model_id: str) -> tuple[str, str]:
        """Return (kind, full id) of the model whose id starts with `model_id`. Raises ModelError."""
        hits = [
            (kind, path.name)
            for kind in self.kinds()
            for path in sorted((self.directory / kind).iterdir())
            if path.name.startswith(model_id) and (path / MANIFEST).exists()
        ]
        exact = [hit for hit in hits if hit[1] == model_id]
        if len(exact) == 1 or len(hits) == 1:
            return (exact or hits)[0]
        problem = "is not known" if not hits else f"fits {len(hits)} models"
        raise ModelError(f"the model {model_id[:60]!r} {problem}.", fix="See `vigie models list`.")

    def champion_id(self, kind: str) -> str | None:
        """Return the id of the kind's champion; None before the first promotion."""
        history = self.history(kind)
        return history[-1]["model_id"] if history else None

    def champion(self, kind: str, fingerprint: str | None = None) -> Bundle | None:
        """Read the kind's champion; None before the first promotion. Raises ModelError."""
        model_id = self.champion_id(kind)
        return None if model_id is None else self.load(kind, model_id, fingerprint)

    def history(self, kind: str) -> History:
        """Return the promotions still in force, oldest first: model_id, at_ms, who, why."""
        file = self.path(kind, _CHAMPION)
        try:
            found = json.loads(file.read_text(encoding="utf-8"))["promotions"]
            return [dict(step) | {"model_id": str(step["model_id"])} for step in found]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
            raise ModelError(
                f"{file} is damaged ({error}).", fix="Delete it and promote a model again."
            ) from error

    def promote(self, kind: str, model_id: str, at_ms: int, who: str = "", why: str = "") -> None:
        """Make a model the champion, in one step. Raises ModelError when it cannot be read."""
        self.load(kind, model_id)
        with self._alone(kind):
            history = self.history(kind)
            if history and history[-1]["model_id"] == model_id:
                return
            self._write(
                kind, [*history, {"model_id": model_id, "at_ms": at_ms, "who": who, "why": why}]
            )

    def rollback(self, kind: str) -> str:
        """Go back to the champion before; returns its id. Raises ModelError when there is none."""
        with self._alone(kind):
            history = self.history(kind)
            if len(history) < 2:
                raise ModelError(
                    f"there is no earlier champion of {kind} to go back to.",
                    fix="Promote one by its id.",
                )
            before = str(history[-2]["model_id"])
            self.load(kind, before)
            self._write(kind, history[:-1])
        return before

    def _write(self, kind: str, promotions: History) -> None:
        file = self.path(kind, _CHAMPION)
        part = file.with_name(f".{_CHAMPION}.{os.getpid()}")
        try:
            with part.open("w", encoding="utf-8") as out:
                json.dump({"promotions": promotions}, out, indent=1)
                out.flush()
                os.fsync(out.fileno())
            part.replace(file)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise ModelError(
                f"{file} cannot be written ({error}).", fix="Check space and permissions."
            ) from error

    @contextmanager
    def _alone(self, kind: str) -> Iterator[None]:
        """Keep other processes from promoting meanwhile: of two at once one step would be lost."""
        folder = self.path(kind, _CHAMPION).parent
        if not folder.is_dir():  # no model of this kind yet: nothing to lose
            yield
            return
        try:
            lock = (folder / ".lock").open("a")
        except OSError as error:
            raise ModelError(
                f"{folder} cannot be written ({error}).", fix="Check space and permissions."
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
