"""The documents are tested: commands, targets, links and examples in them must exist."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import typer

from plant.config import parse_plant
from vigie.cli import app
from vigie.settings import parse_settings

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MAIN = typer.main.get_command(app)


def leaves(
    command: click.Command, words: tuple[str, ...] = ()
) -> dict[tuple[str, ...], click.Command]:
    """Return every command below `command` by its words."""
    commands = getattr(command, "commands", None)
    if commands is None:
        return {words: command}
    found: dict[tuple[str, ...], click.Command] = {}
    for name, child in commands.items():
        found |= leaves(child, (*words, name))
    return found


LEAVES = leaves(MAIN)


def test_every_command_says_what_it_does_with_an_example() -> None:
    bare = [" ".join(words) for words, c in LEAVES.items() if "Example" not in (c.help or "")]
    assert not bare, f"no example in the help of: {', '.join(bare)}"


def test_every_command_is_named_in_a_document() -> None:
    text = "\n".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    lacking = [name for name in MAIN.commands if f"vigie {name}" not in text]
    assert not lacking, f"not in any document: {', '.join(lacking)}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_commands_in_documents_exist(document: Path) -> None:
    known = {words[:n] for words in LEAVES for n in range(1, len(words) + 1)}
    text = document.read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, flags=re.DOTALL))
    for line in re.findall(r"(?<![\w./-])vigie ([a-z][^\n`|;&)#]*)", code):
        words: list[str] = []
        for word in line.split():
            if not re.fullmatch(r"[a-z][a-z-]*", word) or (*words, word) not in known:
                break
            words.append(word)
        first = line.split()[0]
        assert words or "|" in first, f"{document.name} names `vigie {line}`, which does not exist"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_make_targets_in_documents_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for name in re.findall(r"`make ([a-z-]+)", document.read_text(encoding="utf-8")):
        assert name in targets, f"{document.name} names `make {name}`"


def test_the_examples_of_the_readme_are_valid() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    plant, settings = (re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in blocks)
    assert parse_plant(plant).assets
    assert parse_settings(settings).broker.port == 8883
