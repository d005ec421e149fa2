"""``streamgauge doctor``: is everything as it should be, and if not, what to do."""

from __future__ import annotations

from dataclasses import asdict

import typer

from jobs.cli.output import JsonFlag, console, examples, print_json

app = typer.Typer()

MARKS = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "problem": "[red]✗[/]"}


@app.command(epilog=examples("streamgauge doctor", "streamgauge doctor --json"))
def doctor(as_json: JsonFlag = False) -> None:
    """Check versions, services, topics, migrations, clock and disk, and say what to do next.

    Exit codes: 0 nothing is wrong (warnings are not), 1 something is.
    """
    from rich.markup import escape

    from jobs.doctor import examine
    from streams.settings import Settings

    findings = []
    screen = console()
    for finding in examine(Settings()):
        findings.append(finding)
        if not as_json:
            screen.print(
                f"{MARKS[finding.level]} {finding.subject:<20} {escape(finding.detail)}", soft_wrap=True
            )
            if finding.advice:
                screen.print(f"  {'':<20} [bold]→ {escape(finding.advice)}[/]", soft_wrap=True)
    wrong = any(finding.level == "problem" for finding in findings)
    if as_json:
        print_json({"ok": not wrong, "findings": [asdict(finding) for finding in findings]})
    if wrong:
        raise typer.Exit(1)
