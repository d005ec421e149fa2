"""Apache Kafka from Maven Central: one KRaft node, as the user's own process."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import subprocess
import uuid
from pathlib import Path

from infra.stack.cache import built_once
from infra.stack.commands import require, run
from infra.stack.errors import StackError
from infra.stack.service import Launch, Say
from infra.stack.state import State

VERSION = "4.1.0"
LOG4J_VERSION = "2.24.3"
OLDEST_JAVA = 17

POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>streamgauge</groupId>
  <artifactId>kafka-class-path</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>{LOG4J_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""

# Paths are relative to the working directory: neither properties nor log.dirs then has to quote one.
# The session is short because a broker that was killed cannot come back before its last one expired.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
controller.listener.names=CONTROLLER
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.dirs={log_dir}
log.segment.bytes=67108864
log.cleaner.dedupe.buffer.size=8388608
log.cleaner.backoff.ms=1000
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""

LOGGING = """\
rootLogger.level=WARN
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %m (%c)%n
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=INFO
"""

JVM_OPTIONS = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    # Compression libraries are unpacked here; a killed JVM would leave them in the machine's /tmp.
    "-Djava.io.tmpdir=tmp",
    "-Dlog4j2.configurationFile=log4j2.properties",
)


class Kafka:
    """One broker that is its own controller, on loopback."""

    name = "kafka"
    ports: tuple[str, ...] = ("kafka", "kafka_controller")
    stop_signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGKILL)

    def __init__(self, state: State) -> None:
        self.state = state
        self.data = state.data(self.name)

    def prepare(self, say: Say) -> Launch:
        """Fetch the class path and format the log directory, where missing."""
        shutil.rmtree(self.data / "tmp", ignore_errors=True)
        (self.data / "tmp").mkdir(parents=True)
        command = [java(), *JVM_OPTIONS, "-cp", f"{class_path(say, self.state.log('maven'))}/*"]
        (self.data / "log4j2.properties").write_text(LOGGING)
        if not (self.data / "log").is_dir():
            say("formatting the log directory")
            self._format(command)
        self._configure("server.properties", log_dir="log")
        return Launch([*command, "kafka.Kafka", "server.properties"], self.data)

    def _format(self, command: list[str]) -> None:
        shutil.rmtree(self.data / "draft", ignore_errors=True)
        self._configure("format.properties", log_dir="draft")
        options = ["--cluster-id", cluster_id(), "--config", "format.properties"]
        run(
            [*command, "kafka.tools.StorageTool", "format", *options],
            self.state.log("kafka-format"),
            cwd=self.data,
        )
        (self.data / "draft").rename(self.data / "log")

    def _configure(self, name: str, log_dir: str) -> None:
        ports = self.state.ports
        (self.data / name).write_text(
            PROPERTIES.format(broker=ports["kafka"], controller=ports["kafka_controller"], log_dir=log_dir)
        )


def class_path(say: Say, log: Path) -> Path:
    """Return the directory of Kafka's jars, fetched by Maven when it is missing (45 MB)."""

    def fetch(draft: Path) -> None:
        say("fetching it from Maven Central, once (45 MB)")
        (draft / "pom.xml").write_text(POM)
        goal = "org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies"
        run(
            [require("mvn", "maven"), "-B", "-q", goal, "-DincludeScope=runtime", "-DoutputDirectory=."],
            log,
            cwd=draft,
        )

    return built_once(f"kafka-{VERSION}", fetch)


def java() -> str:
    """Return the path of a Java that is new enough."""
    home = os.environ.get("JAVA_HOME")
    path = f"{home}/bin/java" if home else require("java", "default-jre-headless")
    try:
        banner = subprocess.run([path, "-version"], capture_output=True, text=True, check=False).stderr
    except OSError:
        banner = ""
    version = re.search(r'version "(\d+)', banner)
    if version is None or int(version[1]) < OLDEST_JAVA:
        raise StackError(
            f"{path} is not Java {OLDEST_JAVA} or newer",
            hint="Install one: sudo apt-get install default-jre-headless (and unset JAVA_HOME)",
        )
    return path


def cluster_id() -> str:
    """Return a new cluster id as Kafka writes them: 16 random bytes in base 64."""
    # A leading dash would look like an option to the tool that is given it.
    return base64.urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).rstrip(b"=").decode()
