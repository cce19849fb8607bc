"""AWS Secrets Manager on this machine: moto's server as a process, with the secrets of the stack in it.

moto keeps all in memory, so whatever starts it again finds the same secrets.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from devstack.ports import free_port, is_listening
from devstack.process import DIRECTORY_MARKER, ChildProcess, wait_until

REGION = "us-east-1"
ACCESS_KEY_ID = "demo-access-key"
SECRET_ACCESS_KEY = "demo-secret-key"  # noqa: S105 - moto takes any


class SecretsManager:
    """A Secrets Manager at `url`. `secrets` maps names to what is stored as JSON; they are written at each start."""

    def __init__(
        self, directory: Path, *, secrets: Mapping[str, Mapping[str, str | int]], port: int | None = None
    ) -> None:
        self.directory = directory.absolute()
        self.secrets = {name: dict(value) for name, value in secrets.items()}
        self.port = port or free_port()
        self._process = ChildProcess(
            "secrets-manager",
            [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(self.port)],
            self.directory / "server.log",
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.directory), DIRECTORY_MARKER: str(self.directory)},
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self._process.is_running

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def start(self) -> Self:
        """Start, wait until it answers, and store the secrets."""
        if not self.is_running:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._process.start()
            self._process.wait_ready(lambda: is_listening(self.port))
            for name in self.secrets:
                self._write(name)
        return self

    def put(self, name: str, value: Mapping[str, str | int]) -> None:
        """Store another value, as a rotation does."""
        is_known = name in self.secrets
        self.secrets[name] = dict(value)
        if not is_known:
            self._write(name)
        else:
            self._client().put_secret_value(SecretId=name, SecretString=json.dumps(self.secrets[name]))

    def stop(self) -> None:
        """Stop."""
        self._process.stop()

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self._process.kill()

    def log_tail(self, lines: int = 25) -> str:
        """Return the end of its log."""
        return self._process.log_tail(lines)

    def _write(self, name: str) -> None:
        client = self._client()

        def is_written() -> bool:
            try:
                client.create_secret(Name=name, SecretString=json.dumps(self.secrets[name]))
            except client.exceptions.ResourceExistsException:
                return True
            except BotoCoreError:
                return False
            return True

        wait_until(is_written, timeout=20, what=f"the secret {name} is stored")

    def _client(self) -> Any:
        return boto3.session.Session().client(
            "secretsmanager",
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            config=Config(connect_timeout=2, read_timeout=10, retries={"max_attempts": 1}),
        )
