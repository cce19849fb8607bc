"""A stack keeps its secrets private, has its folder for itself, and gives the demo database in full."""

import dataclasses
import io
import json
import socket
import subprocess
import sys

import pytest

from devstack import symlinks
from devstack.demo_data import DATABASE, create_demo_database
from devstack.paths import ROOT
from devstack.postgres import VERSIONS
from devstack.process import processes_of
from devstack.reporter import Reporter
from devstack.stack import Stack, StackError
from devstack.stack_state import StackState


def test_secrets_are_private_and_kept(tmp_path):
    path = tmp_path / "state.json"
    first = StackState.load(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert dataclasses.asdict(StackState.load(path)) == dataclasses.asdict(first)
    assert len(first.installation_id) == 12
    assert len(first.people_password) >= 12


def test_a_folder_belongs_to_one_stack_at_a_time(tmp_path):
    first, second = Stack(tmp_path, fixed_ports=True), Stack(tmp_path, fixed_ports=True)
    first.prepare()
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    with pytest.raises(StackError, match="runs already"):
        second.prepare()
    first.stop()
    second.prepare()
    second.stop()


def test_wipe_begins_with_new_secrets(tmp_path):
    stack = Stack(tmp_path, fixed_ports=False)
    stack.prepare()
    old = stack.state.secret_key
    stack.wipe()
    assert stack.state.secret_key != old
    stack.stop()


def test_servers_start_again_with_their_data_and_ports(tmp_path):
    ports = []
    for _ in range(2):
        stack = Stack(tmp_path, fixed_ports=True)
        stack.prepare()
        try:
            stack.start_servers()
            ports.append({name: stack.state.ports[name] for name in stack.state.ports if name != "web"})
            with stack.standby.connect(DATABASE) as conn:
                assert conn.execute("SELECT count(*) FROM public.orders").fetchone() == (2500,)
            facts = json.loads(json.dumps(stack.seed_facts()))
            assert facts["replica"]["port"] == stack.standby.port
            assert facts["primary"]["aws_secret_name"] == "postgres-prod-credentials"
            assert stack.state.target_password not in json.dumps(facts)
            assert stack.environment()["AWS_ENDPOINT_URL_SECRETS_MANAGER"] == stack.secrets_manager.url
        finally:
            stack.stop()
        assert processes_of(tmp_path) == []
    assert ports[0] == ports[1]


def test_the_demo_says_which_port_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        script = (
            "import sys, pathlib; import devstack.demo as demo; "
            f"demo.STATE = pathlib.Path({str(tmp_path)!r}); sys.exit(demo.main())"
        )
        environment = {"PATH": "/usr/bin:/bin", "PORT": str(port)}
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert f"Port {port} is taken. Choose another one: make demo PORT={port + 1}" in done.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_the_demo_s_data(target_server, version):
    server = target_server(version)
    name = f"production_{version}"
    for _ in range(2):
        create_demo_database(server, login_password="x", name=name)
    with server.connect(name) as conn:
        rows = conn.execute(
            "SELECT DISTINCT relnamespace::regnamespace::text, relowner::regrole::text FROM pg_class"
            " WHERE relnamespace::regnamespace::text IN ('public', 'app', 'analytics', 'internal')"
        ).fetchall()
        assert {schema for schema, _ in rows} == {"public", "app", "analytics", "internal"}
        assert {owner for _, owner in rows} == {"app_owner"}
        assert conn.execute("SELECT count(*) > 100 FROM analytics.daily_revenue").fetchone() == (True,)
    with server.connect(name, "jit_login_a", "x") as conn:
        conn.execute("SET ROLE jit_portal")
        assert conn.execute("SELECT count(*) FROM app.users").fetchone() == (60,)


def test_a_failed_step_is_reported_and_raised():
    out = io.StringIO()
    reporter = Reporter(out)
    with reporter.step("works"):
        pass
    with pytest.raises(ZeroDivisionError), reporter.step("breaks"):
        1 / 0  # noqa: B018
    first, second = out.getvalue().splitlines()
    assert " ok " in first
    assert first.endswith("works")
    assert " FAILED " in second


def test_library_links_stay_inside_the_package(tmp_path):
    listing = tmp_path / "native" / "pg-symlinks.json"
    (tmp_path / "native" / "lib").mkdir(parents=True)
    listing.write_text(json.dumps([{"source": "native/lib/libx.so.1.2", "target": "native/lib/libx.so.1"}]))
    assert symlinks.link_libraries(tmp_path) == 1
    assert symlinks.link_libraries(tmp_path) == 0
    assert str((tmp_path / "native/lib/libx.so.1").readlink()) == "libx.so.1.2"
    listing.write_text(json.dumps([{"source": "native/lib/libx.so.1.2", "target": "../../outside"}]))
    with pytest.raises(ValueError, match="outside"):
        symlinks.link_libraries(tmp_path)
