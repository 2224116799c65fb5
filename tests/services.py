"""The servers that some tests talk to: where they are, whether they answer, what is said when they do not.

`python -m tests.services pytest …` runs pytest once on each database server that answers.
"""

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from urllib.parse import urlsplit

#: Set in CI: what is missing fails instead of being skipped.
REQUIRED = os.environ.get("REQUIRE_SERVICES", "") not in {"", "0"}
TIMEOUT = 2.0


@dataclass(frozen=True)
class Service:
    """A server. The environment variable ``variable`` replaces its default URL."""

    name: str
    variable: str
    default_url: str

    @property
    def url(self) -> str:
        return os.environ.get(self.variable) or self.default_url

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or urlsplit(self.default_url).port or 0

    @property
    def missing(self) -> str:
        """What to say when it does not answer."""
        host, port = self.address
        return f"{self.name} does not answer at {host}:{port}. Start it, or set {self.variable}."


SERVICES = {
    "postgresql": Service("PostgreSQL", "TEST_POSTGRESQL_URL", "postgresql://postgres@127.0.0.1:5432/sms_services"),
    "mariadb": Service("MariaDB", "TEST_MARIADB_URL", "mysql://root@127.0.0.1:3306/sms_services"),
    "redis": Service("Redis", "TEST_REDIS_URL", "redis://127.0.0.1:6379"),
    "rabbitmq": Service("RabbitMQ", "TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//"),
}


def reachable(name: str) -> bool:
    """Whether a server accepts connections."""
    try:
        with socket.create_connection(SERVICES[name].address, TIMEOUT):
            return True
    except OSError:
        return False


def main() -> int:
    """Run a Python module with ``DATABASE_URL`` set to each database server in turn."""
    names = [name for name in ("postgresql", "mariadb") if reachable(name)]
    for name in {"postgresql", "mariadb"} - set(names):
        print(f"{'FAILED' if REQUIRED else 'SKIPPED'}: {SERVICES[name].missing}", flush=True)
        if REQUIRED:
            return 1
    failed = 0
    for name in names:
        print(f"\nOn {SERVICES[name].name}:", flush=True)
        environment = {**os.environ, "DATABASE_URL": SERVICES[name].url}
        done = subprocess.run([sys.executable, "-m", *sys.argv[1:]], env=environment, check=False)
        failed = failed or done.returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
