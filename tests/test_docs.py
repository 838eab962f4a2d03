"""The papers stay true to the code."""

import dataclasses
import re
import tomllib
from pathlib import Path

import docstring_parser

from flexdan.cli.main import COMMANDS
from flexdan.config import RunConfig
from flexdan.config.names import IGNORED, LOG_NAMES, setting_names

ROOT = Path(__file__).parents[1]


def test_every_setting_and_every_name_of_the_log_is_explained():
    text = (ROOT / "docs" / "settings.md").read_text()
    named = set(re.findall(r"`([\w.]+)`", text))
    assert set(setting_names()) | set(LOG_NAMES) | set(IGNORED) <= named


def test_every_setting_is_explained_as_in_its_docstring():
    sections = {
        field.name: field.type for field in dataclasses.fields(RunConfig) if dataclasses.is_dataclass(field.type)
    }
    text = (ROOT / "docs" / "settings.md").read_text()
    meanings = dict(re.findall(r"^\| `([\w.]+)` \|.*\| (.+) \|$", text, re.MULTILINE))
    for prefix, section in [("", RunConfig), *((f"{name}.", section) for name, section in sections.items())]:
        for parameter in docstring_parser.parse(section.__doc__).params:
            if parameter.arg_name not in sections:
                assert meanings[prefix + parameter.arg_name] == " ".join(parameter.description.split())


def test_every_dependency_is_justified():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    text = (ROOT / "docs" / "dependencies.md").read_text()
    for requirement in project["project"]["dependencies"]:
        name = re.split(r"[\[<>=]", requirement)[0]
        assert f"| {name} |" in text, name
    for requirement in project["dependency-groups"]["dev"]:
        assert re.split(r"[\[<>=]", requirement)[0] in text


def test_every_command_of_the_readme_exists():
    text = (ROOT / "README.md").read_text()
    for line in re.findall(r"flexdan ([a-z]+(?: [a-z]+)?)", text):
        assert line in COMMANDS or line.split()[0] in COMMANDS, line
    for command in set(COMMANDS) - {"demo"}:
        assert f"`flexdan {command}`" in text


def test_torch_is_pinned():
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text().splitlines()


def test_links_between_the_papers_lead_somewhere():
    for paper in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", paper.read_text()):
            assert (paper.parent / target).exists(), f"{paper.name}: {target}"
