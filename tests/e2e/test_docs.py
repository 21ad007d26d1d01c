"""What the pages tell a reader to type works: every command, and every line for an SDK, against a running gateway."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import anthropic
import openai
import pytest
import typer
from support.gateway import CONFIG, KEY, GatewayProcess
from support.simulator import SimulatorProcess

from smallfirst.cli.main import app
from smallfirst.cli.verb import Verb

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / "README.md"] + [path for folder in ("docs", "examples") for path in (ROOT / folder).rglob("*.md")]
)
SDKS: tuple[ModuleType, ...] = (openai, anthropic)


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Every fenced block of a language: where it stands, and its text."""
    for path in PAGES:
        text = path.read_text("utf-8")
        for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            yield f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 2}", found[1]


def lines_to_type() -> Iterator[tuple[str, str, bool]]:
    """Every line of the bash blocks (whole commands: True), and every inline `smallfirst …`, which may leave out arguments."""
    for where, text in blocks("bash"):
        for line in text.replace("\\\n", " ").splitlines():
            if line.strip():
                yield where, line, True
    for path in PAGES:
        text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        for found in re.findall(r"`((?:smallfirst|make) [^`]+)`", text):
            if "…" not in found:
                yield str(path.relative_to(ROOT)), " ".join(found.split()), False


def words_of(program: str) -> list[Any]:
    """The documented uses of a program: its words, and whether they are a whole command."""
    found = []
    for where, line, whole in lines_to_type():
        words = shlex.split(line, comments=True)
        if words and words[0] == program:
            found.append(pytest.param(words[1:], whole, id=f"{where} {' '.join(words)}"))
    return found


# Commands.


@cache
def program() -> Any:
    return typer.main.get_command(app)


def resolved(words: list[str]) -> tuple[list[str], Any, list[str]]:
    """The command's name, the command, and what is left for it. An unknown one is a usage error."""
    command = program()
    names: list[str] = []
    while hasattr(command, "commands"):
        if command.invoke_without_command and (not words or words[0].startswith("-")):
            break  # a noun that is a command too
        assert words or isinstance(command, Verb), "a group needs a command"
        context = command.context_class(command, info_name=command.name)
        name, command, words = command.resolve_command(context, words)
        names.append(name)
    return names, command, words


@pytest.mark.parametrize(("words", "whole"), words_of("smallfirst"))
def test_every_command_can_be_typed(words: list[str], whole: bool) -> None:
    """Its options, their values and the number of its arguments are accepted; it is not run."""
    if words == ["--version"]:
        return
    names, command, rest = resolved(words)
    context = command.make_context(" ".join(names), rest, resilient_parsing=not whole)
    assert not context.args


def test_a_command_that_is_not_there_would_be_found() -> None:
    for words in (
        ["bills"],
        ["bill", "--buy", "model"],
        ["calls", "show"],
        ["calls", "list", "--limit", "all"],
    ):
        with pytest.raises(Exception, match=r"(?i)no such|missing|valid"):
            test_every_command_can_be_typed(words, True)


def test_every_option_is_in_the_help() -> None:
    options: dict[tuple[str, ...], set[str]] = {}
    for parameter in words_of("smallfirst"):
        if parameter.values[0] != ["--version"]:
            names, command, rest = resolved(parameter.values[0])
            used = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
            shown = {
                option
                for one in command.params
                if not getattr(one, "hidden", False)
                for option in (*one.opts, *one.secondary_opts)
            }
            assert used <= shown, names
            options.setdefault(tuple(names), set()).update(used)
    assert len(options) > 5


def test_the_installed_program_shows_its_help(tmp_path: Path) -> None:
    process = GatewayProcess(tmp_path, "")
    process.environ["COLUMNS"] = "200"
    done = process.run("release", "promote", "--help")
    assert done.returncode == 0, done.stderr
    assert {"--canary", "--unproven", "--help"} <= set(re.findall(r"--[a-z][\w-]*", done.stdout))


@pytest.mark.parametrize(("words", "whole"), words_of("make"))
def test_every_target_of_make_is_there(words: list[str], whole: bool) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert {word for word in words if "=" not in word} <= targets


@pytest.mark.parametrize(("words", "whole"), words_of("pip"))
def test_every_extra_is_there(words: list[str], whole: bool) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for word in words:
        assert {
            name for group in re.findall(r"smallfirst\[(.*)\]", word) for name in group.split(",")
        } <= set(extras)


# The SDKs.


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that has the tasks of the examples, answered by the simulator."""
    with SimulatorProcess() as simulator:
        config = CONFIG.format(sim=simulator.base_url)
        for path in sorted((ROOT / "examples").glob("*/smallfirst.toml")):
            for task in tomllib.loads(path.read_text("utf-8"))["tasks"]:
                config += (
                    f'\n[tasks.{task}]\nladder = ["mini", "frontier"]\n'
                    if f"[tasks.{task}]" not in config
                    else ""
                )
        with GatewayProcess(tmp_path_factory.mktemp("documented"), config) as process:
            yield process


def for_this_gateway(text: str, gateway: GatewayProcess) -> str:
    text = text.replace("http://127.0.0.1:8080", gateway.url)
    return re.sub(r'api_key="[^"]*"', f'api_key="{KEY}"', text)


def ask(client: Any) -> str:
    """One call by a client that a page has made."""
    messages: Any = [{"role": "user", "content": "The printer is on fire."}]
    if isinstance(client, openai.OpenAI):
        reply = client.chat.completions.create(model="frontier", messages=messages)
        return reply.choices[0].message.content or ""
    reply = client.messages.create(model="frontier", max_tokens=50, messages=messages)
    return reply.content[0].text


@pytest.mark.parametrize(
    "text",
    [pytest.param(text, id=where) for where, text in blocks("python") if re.search("openai|anthropic", text)],
)
def test_every_line_for_an_sdk_runs(text: str, documented: GatewayProcess) -> None:
    """Statement by statement; each client that one makes also asks something."""
    names: dict[str, Any] = {sdk.__name__: sdk for sdk in SDKS}
    made = []
    for statement in ast.parse(for_this_gateway(text, documented)).body:
        exec(compile(ast.Module([statement], []), "page", "exec"), names)
        client = names.get("client")
        if client is not None and client not in made:
            made.append(client)
            assert ask(client)
    assert made
    for client in made:
        client.close()


# What a gateway says of itself.


def test_what_a_gateway_says_is_on_the_pages(documented: GatewayProcess) -> None:
    """Headers and metrics of real answers are named, and every metric is told without being asked twice."""
    with openai.OpenAI(base_url=f"{documented.url}/v1", api_key=KEY, max_retries=0) as client:
        for model in ("frontier", "task/triage"):
            answer = client.chat.completions.with_raw_response.create(
                model=model,
                messages=[{"role": "user", "content": "Charged twice."}],
                extra_headers={"x-smallfirst-explain": "1"},
            )
            ours = {name for name in answer.headers if name.startswith("x-smallfirst-")}
            assert len(ours) > 4
            page = (ROOT / "docs" / "ladders.md").read_text("utf-8")
            assert [name for name in ours if name not in page] == []
    exposition = documented.get("/metrics")[1].decode()
    told = set(re.findall(r"^# HELP (\S+)", exposition, re.MULTILINE))
    named = set(
        re.findall(r"^\| `(smallfirst_\w+)`", (ROOT / "docs" / "metrics.md").read_text("utf-8"), re.MULTILINE)
    )
    assert told == named
