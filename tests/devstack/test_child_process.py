"""Children end with their runner, however it ends."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.paths import ROOT
from devstack.process import ChildProcess, ProcessError, processes_of, wait_until
from devstack.redis import RedisServer

RUNNER = """
import sys, json, threading
from pathlib import Path
from devstack.postgres import PostgresServer
from devstack.redis import RedisServer
folder = Path(sys.argv[1])
server = PostgresServer(18, folder / "postgres", durable=sys.argv[2] == "durable")
redis = RedisServer(folder / "redis")
# Started in a thread that ends: the servers must not end with it.
thread = threading.Thread(target=lambda: (server.start(), redis.start()))
thread.start(); thread.join()
server.execute("SELECT 1")
print(json.dumps({"postgres": server.port, "redis": redis.port}), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("mode", ["durable", "fast"])
def test_a_killed_runner_leaves_nothing(tmp_path, mode):
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(tmp_path), mode],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "DEVSTACK_DIRECTORY": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    json.loads(runner.stdout.readline())
    assert processes_of(tmp_path / "postgres")
    runner.send_signal(signal.SIGKILL)
    runner.communicate()

    def is_clean() -> bool:
        return not processes_of(tmp_path)

    wait_until(is_clean, timeout=60, what="all servers are gone")


def test_stop_ends_grandchildren_and_the_stubborn(tmp_path):
    script = "trap '' TERM; sleep 600 & setsid sleep 600 & echo started; while :; do sleep 600; done"
    environment = {"PATH": "/usr/bin:/bin", "DEVSTACK_DIRECTORY": str(tmp_path)}
    child = ChildProcess("stubborn", ["sh", "-c", script], tmp_path / "log", env=environment)
    child.start()
    child.wait_ready(lambda: len(processes_of(tmp_path)) == 4)
    child.stop(timeout=0.1)
    assert not processes_of(tmp_path)


def test_a_child_that_exits_shows_its_log(tmp_path):
    child = ChildProcess("broken", ["sh", "-c", "echo no such thing; exit 3"], tmp_path / "log")
    child.start()
    with pytest.raises(ProcessError, match="status 3\nno such thing"):
        child.wait_ready(lambda: False)


def test_redis_answers_flushes_and_comes_back(tmp_path):
    server = RedisServer(tmp_path / "redis").start()
    try:
        server.command("SET", "key", "value")
        assert server.command("DBSIZE") == "1"
        server.flush()
        assert server.command("DBSIZE") == "0"
        port = server.port
        server.kill()
        with pytest.raises(OSError):
            server.command("PING")
        assert server.start().port == port
        assert server.command("PING") == "PONG"
    finally:
        server.stop()
    assert not server.is_running
    assert Path(tmp_path / "redis" / "redis.log").exists()
