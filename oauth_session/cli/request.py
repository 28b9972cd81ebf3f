"""`request METHOD URL`: one call of the API with the grant's token."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import requests
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from .shared import Chosen, err, out, with_service

_CHUNK = 1 << 16


def _pair(text: str, by: str, what: str) -> tuple[str, str]:
    name, sep, value = text.partition(by)
    if not sep or not name.strip():
        raise click.UsageError(f"{what} must be like name{by}value, not {text!r}")
    return name.strip(), value.strip() if by == ":" else value


@click.command()
@click.argument("method")
@click.argument("url")
@click.option("-H", "--header", "headers", multiple=True, help="name:value")
@click.option("-q", "--query", multiple=True, help="name=value, for the URL")
@click.option("-j", "--json", "body", help="A JSON body; @FILE reads it from there, @- from standard input.")
@click.option("-f", "--form", multiple=True, help="name=value, of a form")
@click.option("-F", "--file", "files", multiple=True, help="name=PATH, uploaded with the form")
@click.option("-d", "--data", help="A body as it is; @FILE and @- as above.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Download to this file.")
@click.option("-i", "--include", is_flag=True, help="Show status and headers, too.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds without a byte.")
@with_service
def request(
    chosen: Chosen,
    method: str,
    url: str,
    headers: tuple[str, ...],
    query: tuple[str, ...],
    body: str | None,
    form: tuple[str, ...],
    files: tuple[str, ...],
    data: str | None,
    output: Path | None,
    include: bool,
    timeout: float,
) -> None:
    """Call the API: `request GET me`. The body goes to standard output; the exit code is 1 for 4xx and 5xx."""
    if sum((body is not None, data is not None, bool(form or files))) > 1:
        raise click.UsageError("give --json, --data, or --form with --file: one kind of body")
    if "://" not in url and not chosen.table.get("base_url"):
        raise click.UsageError(f"{url!r} is no whole URL, and the service has no base_url in the settings")
    with ExitStack() as stack:
        options: dict[str, Any] = {"headers": dict(_pair(text, ":", "--header") for text in headers)}
        options["params"] = [_pair(text, "=", "--query") for text in query]
        if body is not None:
            try:
                options["json"] = json.loads(_content(body))
            except ValueError as error:
                raise click.UsageError(f"--json is no JSON: {error}") from None
        elif data is not None:
            options["data"] = _content(data)
        elif form or files:
            options["data"] = [_pair(text, "=", "--form") for text in form]
            options["files"] = [
                (name, (Path(path).name, stack.enter_context(_opened(path))))
                for name, path in (_pair(text, "=", "--file") for text in files)
            ] or None
        session = stack.enter_context(chosen.client.session(chosen.grant))
        response = stack.enter_context(session.request(method.upper(), url, stream=True, timeout=timeout, **options))
        if include:
            click.echo(f"HTTP {response.status_code} {response.reason}")
            click.echo("".join(f"{name}: {value}\n" for name, value in response.headers.items()))
        if output is not None and response.ok:
            _download(response, output)
        else:
            _show(response)
        if not response.ok:
            err.print(f"[bold red]HTTP {response.status_code}[/]", response.reason or "")
            sys.exit(1)


def _content(text: str) -> bytes:
    if text == "@-":
        return sys.stdin.buffer.read()
    if text.startswith("@"):
        with _opened(text[1:]) as file:
            content: bytes = file.read()
            return content
    return text.encode()


def _opened(path: str) -> Any:
    try:
        return Path(path).expanduser().open("rb")
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from None


def _show(response: requests.Response) -> None:
    """JSON is made readable for a person; for a pipe, every byte is as it came."""
    if out.is_terminal and "json" in response.headers.get("Content-Type", ""):
        try:
            out.print_json(response.text)
            return
        except ValueError:
            pass
    for part in response.iter_content(_CHUNK):
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
    if out.is_terminal:
        click.echo()


def _download(response: requests.Response, output: Path) -> None:
    """Into a file beside it first: what is there under its name is whole."""
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdigit() and not response.headers.get("Content-Encoding") else None
    part = output.with_name(output.name + ".part")
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    try:
        with Progress("[bold]{task.description}", *columns, console=err) as progress, part.open("wb") as file:
            task = progress.add_task(output.name, total=total)
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                progress.advance(task, len(chunk))
        part.replace(output)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror or type(error).__name__}") from None
    finally:
        part.unlink(missing_ok=True)
