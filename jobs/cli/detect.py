"""``streamgauge detect``: anomalies in a file or pipe of one series."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.output import examples
from streams.errors import UsageError

app = typer.Typer()


@app.command(
    epilog=examples(
        "streamgauge detect pump-1.csv > found.csv",
        "streamgauge detect pump-1.csv --explain --plot pump-1.png",
        "tail -f pump-1.csv | streamgauge detect -",
        "streamgauge detect requests.csv --rules counter",
    )
)
def detect(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="CSV of timestamp,value; - for input.")],
    rules: Annotated[
        str,
        typer.Option(metavar="KIND|RULE+RULE", help="What to watch for: gauge, counter, state, or rules."),
    ] = "value",
    explain: Annotated[
        bool, typer.Option("--explain", help="Add columns that say what was unusual, and its numbers.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw the series and its episodes there.")
    ] = None,
) -> None:
    """Score the readings of one series, and mark where an anomaly begins.

    Writes timestamp,value,anomaly_score,label: the score goes from 0 to 1, and the label is 1 where an
    episode begins. Each row depends on those before it alone. An empty value is a gap; a row whose time
    is not after the last one's scores 0.

    Rules are value and rate, which go by how likely numbers are, and stuck, silence, resets, new_state,
    flapping, which go by the longest or most so far, from the second day on. A gauge has value, stuck and
    silence; a counter rate, resets, stuck and silence; a state new_state, flapping and silence.

    Exit codes: 0 all was read, 1 a line holds no reading or a file cannot be read or written.
    """
    from jobs.anomalies import detect_file
    from jobs.seriesplot import draw_series, write_png
    from streams.core.detect.rules import RuleError, parse_rules

    if file != "-" and Path(file).is_dir():
        raise UsageError(f"{file} is a directory", hint="Give a file, or - for input.")

    try:
        watched_for = parse_rules(rules)
    except RuleError as fault:
        raise UsageError(str(fault), hint="Name a kind, like counter, or rules, like value+stuck.") from None

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    fd = 0 if file == "-" else os.open(file, os.O_RDONLY)
    try:
        found = detect_file(fd, write, rules=watched_for, explain=explain, keep=plot is not None)
    finally:
        if fd:
            os.close(fd)
    if plot is not None:
        intervals = [(episode.start_us, episode.end_us) for episode in found.episodes]
        write_png(draw_series(found.time_us, found.value, found.score, intervals), plot)
