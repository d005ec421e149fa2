"""Forecasts side by side in processes that end with the one that started them, however that ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import TypeVar

from streams.core.batch import Float64
from streams.core.forecast.predict import Forecast, Unpredictable
from streams.errors import UserError

T = TypeVar("T")

MOST_PROCESSES = 2
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def predict_all(
    series: Iterable[tuple[T, Float64]], horizon: int, processes: int = MOST_PROCESSES
) -> Iterator[tuple[T, Forecast | Unpredictable]]:
    """Yield the forecast of each series as soon as it is there; series are taken as they are needed.

    A process has one thread, one series that it works on and one that waits. It ends once its pipe is
    closed: also when this one is killed. Raises UserError where one of them ended before.
    """
    for threads in THREADS:
        os.environ.setdefault(threads, "1")
    waiting, under_way = iter(series), dict[Connection, list[T]]()
    with ExitStack() as stack:
        for name, value in islice(waiting, processes):
            pipe = stack.enter_context(closing(_start(horizon)))
            pipe.send(value)
            under_way[pipe] = [name]
        for pipe, some in under_way.items():
            _hand(pipe, waiting, some)
        while busy := [pipe for pipe, some in under_way.items() if some]:
            for ready in wait(busy):
                assert isinstance(ready, Connection)
                with _alive():
                    found = ready.recv()
                name = under_way[ready].pop(0)
                _hand(ready, waiting, under_way[ready])
                yield name, found


def _hand(pipe: Connection, waiting: Iterator[tuple[T, Float64]], under_way: list[T]) -> None:
    for name, value in islice(waiting, 1):
        with _alive():
            pipe.send(value)
        under_way.append(name)


@contextmanager
def _alive() -> Iterator[None]:
    try:
        yield
    except (EOFError, ConnectionError) as error:
        raise UserError(
            "a process that computes forecasts has ended",
            hint="Was it killed, or is memory short? Run it again: it goes on where it was.",
        ) from error


def _start(horizon: int) -> Connection:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, horizon), daemon=True)
    process.start()
    theirs.close()
    return ours


def _serve(pipe: Connection, horizon: int) -> None:
    """Compute until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from jobs.forecast.fits import fits
    from streams.core.forecast.predict import predict

    while True:
        try:
            pipe.send(predict(pipe.recv(), horizon, fits))
        except (EOFError, ConnectionError):
            return
