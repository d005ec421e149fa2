"""Services as the user's own processes: start them side by side, wait until they serve, stop them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from infra.stack.commands import tail
from infra.stack.errors import NotReady, StackError
from infra.stack.ports import is_free
from infra.stack.process import POLL_S, ServiceProcess
from infra.stack.progress import Progress
from infra.stack.service import Service
from infra.stack.state import State

READY_WITHIN_S = 120.0
STOP_WITHIN_S = 30.0
STARTS = 3


def start_all(services: Sequence[Service], state: State, progress: Progress) -> dict[str, str]:
    """Start what does not run, wait until everything serves, and return the addresses."""
    with ThreadPoolExecutor(max_workers=max(len(services), 1)) as pool:
        outcomes = [pool.submit(_start, service, state, progress) for service in services]
    failures = [str(outcome.exception()) for outcome in outcomes if outcome.exception() is not None]
    if failures:
        raise StackError("\n".join(failures))
    return {name: value for service in services for name, value in service.addresses().items()}


def stop_all(services: Sequence[Service], state: State, progress: Progress) -> None:
    """Stop what runs, all at once."""
    with ThreadPoolExecutor(max_workers=max(len(services), 1)) as pool:
        list(pool.map(lambda service: _stop(service, state, progress), services))


def _start(service: Service, state: State, progress: Progress) -> None:
    began = time.monotonic()
    process = ServiceProcess(state.lock_file(service.name))
    try:
        for _ in range(STARTS):
            started = not process.running()
            if started:
                _launch(service, state, process, progress)
            if _serves(service, process):
                verb = f"ready in {time.monotonic() - began:.1f} s" if started else "runs already"
                progress.done(service.name, f"{verb}, 127.0.0.1:{state.ports[service.ports[0]]}")
                return
            # It ended. Somebody may have taken a port after it was chosen: then choose another.
            if all(is_free(state.ports[port]) for port in service.ports):
                break
        raise StackError("it ended before it served")
    except StackError as error:
        progress.failed(service.name, "failed")
        raise StackError(f"{service.name}: {error}\n{tail(state.log(service.name))}") from error


def _launch(service: Service, state: State, process: ServiceProcess, progress: Progress) -> None:
    for port in service.ports:
        state.choose_port(port)
    service.prepare(lambda text: progress.step(service.name, text))
    progress.step(service.name, "starting")
    launch = service.launch()
    log = state.log(service.name)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    process.start(launch.argv, log, cwd=launch.cwd, env=launch.env)


def _serves(service: Service, process: ServiceProcess) -> bool:
    """Wait until the service serves; tell False if its process ends first."""
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            service.ready()
        except NotReady as error:
            if not process.running():
                return False
            if time.monotonic() > deadline:
                raise StackError(f"it does not serve after {READY_WITHIN_S:.0f} s: {error}") from error
            time.sleep(POLL_S)
        else:
            return True


def _stop(service: Service, state: State, progress: Progress) -> None:
    process = ServiceProcess(state.lock_file(service.name))
    if not process.running():
        progress.done(service.name, "not running")
    elif process.stop(service.stop_signals, STOP_WITHIN_S):
        progress.done(service.name, "stopped")
    else:
        raise StackError(f"{service.name} does not end; its process id is {process.pid()}")
