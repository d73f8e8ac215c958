"""The files for a cluster: they parse, name settings, verbs and extras that there are, and bound what they start.

helm and systemd-analyze are looked for in PATH. Without them tests are skipped, and say so. Nothing builds images.
"""

import configparser
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import typer
import yaml

from folkmoot.backends.nats.server import PAYLOAD_BYTES_MAX, PENDING_BYTES_MAX
from folkmoot.cli.main import app
from folkmoot.cluster.cassandra_node import NodeSettings, configuration
from folkmoot.node.config import ROLES, Settings, load_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose"
CHART = DEPLOY / "helm" / "folkmoot"
SETTINGS_FILES = [COMPOSE / "folkmoot.toml", *sorted((DEPLOY / "systemd" / "roles").glob("*.toml"))]
OF_THE_ENTRYPOINT = {"token_secret_file"}


def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    return content


def values() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return content


def run_verb(arguments: list[str]) -> dict[str, Any]:
    """The options that a verb takes from these words. It is not carried out."""
    whole: Any = typer.main.get_command(app)
    with whole.commands[arguments[0]].make_context(arguments[0], arguments[1:]) as context:
        return dict(context.params)


@pytest.mark.parametrize("path", SETTINGS_FILES, ids=lambda path: path.stem)
def test_every_file_of_settings_is_taken_by_the_program(path: Path) -> None:
    chosen = load_settings({"roles": "router"} if path.stem == "folkmoot" else {}, {}, path)
    assert (chosen.bus, chosen.store) == ("nats", "cassandra")
    if path.stem != "folkmoot":
        assert chosen.roles == (path.stem,)


def test_every_setting_that_any_file_names_in_the_environment_is_one() -> None:
    names = set(Settings.__struct_fields__) | OF_THE_ENTRYPOINT
    for path in DEPLOY.rglob("*"):
        if path.is_file():
            for found in re.findall(r"FOLKMOOT_([A-Z_]+)\b", path.read_text()):
                assert found.lower() in names or found == "SITE", (path, found)


def test_the_compose_file_starts_each_role_twice_with_bounds_probes_and_a_drain() -> None:
    services = compose()["services"]
    for role in ROLES:
        service = services[role]
        options = run_verb(service["command"])
        assert options["setting"] == [f"roles={role}"]
        # Else it would greet people with tokens, into a log.
        assert options["as_json"] is True
        assert service["deploy"]["replicas"] >= 2
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
        assert "/readyz" in service["healthcheck"]["test"][-1]
        drain = Settings().drain_spread_s + Settings().drain_seconds_max
        assert float(service["stop_grace_period"].removesuffix("s")) > drain + 5
    run_verb(services["migrate"]["command"])
    for name in ("nats-1", "nats-2", "nats-3", "cassandra-1", "cassandra-2", "cassandra-3", "proxy"):
        assert {"mem_limit", "cpus", "restart"} <= services[name].keys(), name
    published = [name for name, service in services.items() if "ports" in service]
    assert published == ["proxy"]


def test_all_that_the_compose_file_points_to_is_there() -> None:
    whole = compose()
    for config in whole["configs"].values():
        assert (COMPOSE / config["file"]).is_file(), config
    for name, service in whole["services"].items():
        depends = service.get("depends_on", {})
        assert set(depends) <= whole["services"].keys(), name
        assert {config["source"] for config in service.get("configs", [])} <= whole["configs"].keys(), name
        assert set(service.get("secrets", [])) <= whole["secrets"].keys(), name
        assert set(service.get("networks", [])) <= whole["networks"].keys(), name
        volumes = [volume.partition(":")[0] for volume in service.get("volumes", [])]
        assert set(volumes) <= whole["volumes"].keys(), name
        # No value stands where a file should.
        assert not [v for v in service.get("environment", {}) if re.search("SECRET|PASSWORD|TOKEN", v)], name
    chosen = load_settings({"roles": "router"}, {}, COMPOSE / "folkmoot.toml")
    assert set(chosen.cassandra_hosts) <= whole["services"].keys()
    assert {url.removeprefix("nats://").partition(":")[0] for url in chosen.nats_urls} <= whole["services"].keys()


def test_cassandra_and_nats_are_set_up_as_what_was_tested_is() -> None:
    deployed = yaml.safe_load((COMPOSE / "cassandra.yaml").read_text())
    tested = configuration(NodeSettings(folder=Path("/var/lib/cassandra"), nodes=3))
    for name in ("commitlog_sync", "commitlog_sync_group_window", "paxos_variant", "concurrent_writes", "partitioner"):
        assert deployed[name] == tested[name], name
    by_the_network = {"listen_interface", "rpc_interface"}
    assert deployed.keys() - by_the_network <= tested.keys()
    nats = dict(re.findall(r"^(max_\w+): (\d+MB)$", (COMPOSE / "nats.conf").read_text(), re.MULTILINE))
    assert int(nats["max_payload"][:-2]) * 1_048_576 >= PAYLOAD_BYTES_MAX
    assert int(nats["max_pending"][:-2]) * 1_048_576 >= PENDING_BYTES_MAX


def test_the_image_installs_extras_that_there_are_and_stops_by_a_drain() -> None:
    text = (DEPLOY / "image" / "Dockerfile").read_text()
    found = re.search(r"/src\[([a-z,]+)\]", text)
    assert found is not None
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(found[1].split(",")) <= extras.keys()
    assert {"server", "nats", "cassandra"} <= set(found[1].split(","))
    for source in re.findall(r"^COPY (?:--chmod=\d+ )?((?!--)[\w./ ]+) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in source.split()), source
    assert "\nUSER 10001\n" in text
    assert "STOPSIGNAL SIGTERM" in text


def test_the_entrypoint_takes_a_secret_from_a_file_and_nobody_else_can_read_its_copy(tmp_path: Path) -> None:
    given, data = tmp_path / "given", tmp_path / "data"
    given.write_text("s" * 48)
    given.chmod(0o444)
    data.mkdir()
    program = tmp_path / "folkmoot"
    program.write_text('#!/bin/sh\necho "$@" "${FOLKMOOT_TOKEN_SECRET_FILE-unset}"\n')
    program.chmod(0o755)
    variables = {"PATH": f"{tmp_path}:/usr/bin:/bin", "FOLKMOOT_DATA_DIR": str(data)}
    for _ in range(2):  # A container that is started again finds its own copy.
        done = subprocess.run(
            ["sh", DEPLOY / "image" / "entrypoint.sh", "serve", "--log-json"],
            env=variables | {"FOLKMOOT_TOKEN_SECRET_FILE": str(given)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == "serve --log-json unset\n"
    assert (data / "secret.key").read_text() == "s" * 48
    assert (data / "secret.key").stat().st_mode & 0o777 == 0o600


def test_the_charts_values_are_what_its_schema_takes_and_settings_are_ones() -> None:
    schema = msgspec.json.decode((CHART / "values.schema.json").read_bytes())
    checked = jsonschema_rs.validator_for(schema)
    assert list(checked.iter_errors(values())) == []
    wrongs: list[dict[str, Any]] = [
        {"roles": {}}, {"setings": {}}, {"settings": {"roles": ["gateway"]}}, {"service": {"type": "x"}},
    ]  # fmt: skip
    for wrong in wrongs:
        assert not checked.is_valid(values() | wrong), wrong
    assert values()["roles"].keys() == set(ROLES)
    for role, of_it in values()["roles"].items():
        merged = values()["settings"] | of_it["settings"] | {"roles": (role,)}
        chosen = load_settings(merged, {}, None)
        assert (chosen.bus, chosen.store) == ("nats", "cassandra")


def test_every_value_that_a_template_asks_for_is_among_the_values() -> None:
    for path in (CHART / "templates").iterdir():
        text = path.read_text()
        assert text.count("{{") == text.count("}}"), path
        opened = len(re.findall(r"\{\{-? (?:if|range|define|with)\b", text))
        assert opened == len(re.findall(r"\{\{-? end\b", text)), path
        for asked in re.findall(r"\.Values\.([\w.]+)", text):
            found: Any = values()
            for name in asked.split("."):
                assert name in found, (path, asked)
                found = found[name]
        for verb in re.findall(r"args: \[([^\]]+)\]", text):
            options = run_verb([word.strip().replace("{{ $role }}", "router") for word in verb.split(",")])
            assert options["as_json"] is True
    roles = (CHART / "templates" / "roles.yaml").read_text()
    assert re.search(r"livenessProbe:\n\s+httpGet: \{ path: /healthz", roles)
    assert re.search(r"readinessProbe:\n\s+httpGet: \{ path: /readyz", roles)


def test_helm_takes_the_chart(tmp_path: Path) -> None:
    helm = shutil.which("helm")
    if helm is None:
        pytest.skip("no helm here: the chart was looked at, and not rendered")
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    subprocess.run([helm, "lint", "--strict", CHART], check=True, capture_output=True, env=variables)
    done = subprocess.run([helm, "template", "chat", CHART], check=True, capture_output=True, text=True, env=variables)
    made = [document for document in yaml.safe_load_all(done.stdout) if document]
    kinds = [document["kind"] for document in made]
    assert [kinds.count(kind) for kind in ("Deployment", "PodDisruptionBudget", "Service", "Job")] == [3, 3, 1, 1]
    (config,) = [document for document in made if document["kind"] == "ConfigMap"]
    for role in ROLES:
        path = tmp_path / f"{role}.toml"
        path.write_text(config["data"][path.name])
        assert load_settings({}, {}, path).roles == (role,)


@pytest.mark.parametrize("role", ROLES)
def test_systemd_takes_the_unit_of_each_role(role: str, tmp_path: Path) -> None:
    path = DEPLOY / "systemd" / "folkmoot@.service"
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(path)
    program, *arguments = shlex.split(unit["Service"]["ExecStart"].replace("%i", role))
    options = run_verb(arguments)
    assert (options["config"], options["as_json"]) == (Path(f"/etc/folkmoot/{role}.toml"), True)
    assert (DEPLOY / "systemd" / "roles" / f"{role}.toml").is_file()
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here: the unit was not tried")
    # With a program that is there, and without the user, which is made when it is installed.
    text = path.read_text().replace(program, "/bin/true").replace("User=folkmoot\n", "")
    (tmp_path / f"folkmoot@{role}.service").write_text(text)
    done = subprocess.run(
        [analyze, "verify", "--man=no", tmp_path / f"folkmoot@{role}.service"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
