# The program in a small image, as an unprivileged user. What builds it stays behind in the first stage.
FROM python:3.13-slim-trixie AS build
WORKDIR /src
# Builds what reads JSON and judges readings faster; without it all works as well.
RUN (apt-get update -qq && apt-get install -qq --yes --no-install-recommends gcc libc6-dev) || echo "no C compiler"
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: PIP_ROOT_USER_ACTION=ignore
COPY requirements.lock requirements-runtime.lock ./
RUN python -m venv /build && /build/bin/pip install --require-hashes -r requirements.lock
RUN python -m venv /opt/streamgauge && /opt/streamgauge/bin/pip install --require-hashes -r requirements-runtime.lock
COPY . .
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/streamgauge/bin/pip install --no-deps /wheels/*.whl

FROM python:3.13-slim-trixie
RUN useradd --system --uid 10001 --home-dir /var/lib/streamgauge --create-home streamgauge
COPY --from=build /opt/streamgauge /opt/streamgauge
ENV PATH=/opt/streamgauge/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    STREAMGAUGE_STATE_DIR=/var/lib/streamgauge
WORKDIR /var/lib/streamgauge
USER streamgauge
ENTRYPOINT ["streamgauge"]
CMD ["worker"]
