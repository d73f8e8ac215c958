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

from folkmoot.backends.nats import bus, link
from folkmoot.backends.nats.server import PAYLOAD_BYTES_MAX, PENDING_BYTES_MAX
from folkmoot.cli.main import app
from folkmoot.cluster.cassandra_node import NodeSettings, configuration
from folkmoot.node.config import ROLES, Settings, SettingsError, load_settings
from folkmoot.node.readiness import ANSWER_S_MAX

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose"
CHART = DEPLOY / "helm" / "folkmoot"
TEMPLATES = sorted((CHART / "templates").iterdir())
SETTINGS_FILES = [COMPOSE / "folkmoot.toml", *sorted((DEPLOY / "systemd" / "roles").glob("*.toml"))]
OF_THE_ENTRYPOINT = {"token_secret_file"}


def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    return content


def values() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return content


def without_comments(template: Path) -> str:
    """A template's text, but for what it says to those who read it."""
    text = re.sub(r"\{\{-? /\*.*?\*/ -?\}\}", "", template.read_text(), flags=re.DOTALL)
    return re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)


def defined(name: str) -> str:
    """What the templates define under a name."""
    text = without_comments(CHART / "templates" / "_pod.tpl")
    return text.partition(f'{{{{- define "{name}" -}}}}')[2].partition("{{- define ")[0]


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
    assert '\nwrite_deadline: "5s"\n' in (COMPOSE / "nats.conf").read_text()


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
        # So the chart does it too: see the next test.
        merged = values()["settings"] | of_it["settings"] | {"roles": (role,)}
        chosen = load_settings(merged, {}, None)
        assert (chosen.bus, chosen.store) == ("nats", "cassandra")


def test_a_roles_setting_wins_over_that_of_all_also_where_it_says_no() -> None:
    # Helm's `merge` takes false, 0 and "" for what is not set: a shared `metrics_open: true` would win over the
    # gateways' false, and everybody could read /metrics through the Service. `mergeOverwrite` takes the last, whatever
    # it is.
    assert values()["roles"]["gateway"]["settings"]["metrics_open"] is False
    for path in TEMPLATES:
        assert not re.search(r"\b(?:mustM|m)erge\b", without_comments(path)), path
    assert "mergeOverwrite (deepCopy .all) .own" in defined("folkmoot.settings")
    for name in ("roles.yaml", "config.yaml", "migrate.yaml"):
        text = without_comments(CHART / "templates" / name)
        assert re.findall(r'"all" (\S+)', text) == ["$.Values.settings" if "$of" in text else ".Values.settings"], name
        assert re.findall(r'"own" (\S+)\)', text)[0] in ("$of.settings", ".Values.roles.router.settings"), name


def test_no_pod_has_other_services_addresses_in_its_environment() -> None:
    # What Kubernetes would write there for the Service of a release called folkmoot. The program would not start.
    with pytest.raises(SettingsError, match="there is no such setting"):
        load_settings({}, {"FOLKMOOT_GATEWAY_SERVICE_HOST": "10.0.0.1"}, None)
    assert "\nenableServiceLinks: false\n" in defined("folkmoot.pod")
    for path in TEMPLATES:
        text = path.read_text()
        assert text.count("containers:") == text.count('include "folkmoot.pod"'), path


def test_the_entrypoint_is_told_of_credentials_that_the_chart_mounts() -> None:
    container = defined("folkmoot.container")
    assert "{{- with .settings.nats_credentials_file }}\n" in container
    assert "{ name: FOLKMOOT_NATS_CREDENTIALS_FILE, value: {{ quote . }} }" in container


def test_the_charts_probes_and_grace_are_longer_than_what_they_wait_for() -> None:
    schema = msgspec.json.decode((CHART / "values.schema.json").read_bytes())
    least = schema["properties"]["terminationGracePeriodSeconds"]["minimum"]
    drain = Settings().drain_spread_s + Settings().drain_seconds_max
    assert values()["terminationGracePeriodSeconds"] >= least >= drain + 5
    text = (CHART / "templates" / "roles.yaml").read_text()
    readiness = text.partition("readinessProbe:")[2]
    assert int(re.findall(r"timeoutSeconds: (\d+)", readiness)[0]) > ANSWER_S_MAX
    # Where the program listens, and where it is asked.
    (port,) = re.findall(r"^port = (\d+)$", (CHART / "templates" / "_pod.tpl").read_text(), re.MULTILINE)
    assert f"{{ name: http, containerPort: {port} }}" in text
    assert set(re.findall(r"httpGet: \{ path: \S+, port: (\w+) \}", text)) == {"http"}
    assert "targetPort: http" in (CHART / "templates" / "service.yaml").read_text()


def test_the_settings_of_a_release_go_back_with_it() -> None:
    # A hook's are not: after a rollback the older program would be given settings that it does not know.
    assert "helm.sh/hook" not in without_comments(CHART / "templates" / "config.yaml")
    hooks = without_comments(CHART / "templates" / "migrate.yaml")
    # The migration comes before the release's settings, so it has some of its own, and they come before it.
    assert re.findall(r"^kind: (\w+)$", hooks, re.MULTILINE) == ["ConfigMap", "Job"]
    assert hooks.count("helm.sh/hook: pre-install,pre-upgrade") == 2
    assert 'helm.sh/hook-weight: "-10"' in hooks.partition("kind: Job")[0]


def test_the_page_on_nats_has_the_times_of_the_bus() -> None:
    page = " ".join((ROOT / "docs" / "how-to" / "nats.md").read_text().split())
    assert f"unreachable within {link.BEAT_S + link.BEAT_ANSWER_S_MAX:g} seconds." in page
    assert f"growing pauses of at most {bus.DELAY_S_MAX:g} second, without end" in page
    assert f"at start, for {bus.CONNECT_S_MAX:g} seconds" in page
    assert bus.CUT_S_MAX == 1.0
    assert "is dropped, but for the first second's" in page


def test_every_value_that_a_template_asks_for_is_among_the_values() -> None:
    for path in TEMPLATES:
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


class Helm:
    """Helm, with a home for its own files, and the oldest Kubernetes that the chart is for."""

    _KUBERNETES = ("--kube-version", "1.27.0")

    def __init__(self, program: str, home: Path) -> None:
        self._program = program
        self._variables = {"PATH": "/usr/bin:/bin", "HOME": str(home)}

    def lint(self) -> None:
        self._run("lint", "--strict", CHART, *self._KUBERNETES)

    def render(self, release: str, *arguments: str) -> list[dict[str, Any]]:
        text = self._run("template", release, CHART, *self._KUBERNETES, *arguments)
        return [made for made in yaml.safe_load_all(text) if made]

    def _run(self, *arguments: str | Path) -> str:
        done = subprocess.run(
            [self._program, *arguments], check=True, capture_output=True, text=True, env=self._variables
        )
        return done.stdout


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    program = shutil.which("helm")
    if program is None:
        pytest.skip("no helm here: the chart was looked at, and not rendered")
    return Helm(program, tmp_path)


def of_kind(made: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [document for document in made if document["kind"] in kinds]


def settings_of(made: list[dict[str, Any]], folder: Path) -> dict[str, Settings]:
    """What the program takes each role's file of a rendered chart for, and the migration's."""
    found = {}
    for config in of_kind(made, "ConfigMap"):
        for name, text in config["data"].items():
            (folder / name).write_text(text)
            whose = "migrate" if config["metadata"]["name"].endswith("-migrate") else name.removesuffix(".toml")
            found[whose] = load_settings({}, {}, folder / name)
    return found


# The second is the one by which a Service's variables would be named as settings are.
@pytest.mark.parametrize("release", ["chat", "folkmoot"])
def test_helm_takes_the_chart(helm: Helm, release: str, tmp_path: Path) -> None:
    helm.lint()
    made = helm.render(release)
    kinds = [document["kind"] for document in made]
    expected = {"Deployment": 3, "PodDisruptionBudget": 3, "Service": 1, "Job": 1, "ConfigMap": 2}
    assert {kind: kinds.count(kind) for kind in expected} == expected
    configs = {config["metadata"]["name"] for config in of_kind(made, "ConfigMap")}
    for document in of_kind(made, "Deployment", "Job"):
        pod = document["spec"]["template"]["spec"]
        assert pod["enableServiceLinks"] is False
        assert pod["volumes"][0]["configMap"]["name"] in configs
        variables = {v["name"].removeprefix("FOLKMOOT_").lower() for v in pod["containers"][0]["env"]}
        assert variables <= set(Settings.__struct_fields__) | OF_THE_ENTRYPOINT
    found = settings_of(made, tmp_path)
    assert {name: chosen.roles for name, chosen in found.items()} == {role: (role,) for role in ROLES} | {
        "migrate": ("router",)
    }


def test_as_helm_renders_it_a_role_overrides_the_settings_of_all(helm: Helm, tmp_path: Path) -> None:
    where = "/run/folkmoot/nats/nats.creds"
    shared = {"metrics_open": True, "drain_spread_s": 7.5, "trusted_proxies": ["10.0.0.0/8"]}
    own = {"drain_spread_s": 0, "trusted_proxies": [], "nats_credentials_file": where}
    given = {"settings": shared, "roles": {"gateway": {"settings": own}}}
    (tmp_path / "given.yaml").write_text(yaml.safe_dump(given))
    made = helm.render("folkmoot", "--values", str(tmp_path / "given.yaml"))
    found = settings_of(made, tmp_path)
    assert {name: chosen.metrics_open for name, chosen in found.items()} == {
        "gateway": False, "router": True, "delivery": True, "migrate": True,
    }  # fmt: skip
    assert (found["gateway"].drain_spread_s, found["router"].drain_spread_s) == (0, 7.5)
    assert (found["gateway"].trusted_proxies, found["router"].trusted_proxies) == ((), ("10.0.0.0/8",))
    named = {}
    for deployment in of_kind(made, "Deployment"):
        (one,) = deployment["spec"]["template"]["spec"]["containers"]
        named[one["name"]] = {v["name"]: v["value"] for v in one["env"]}.get("FOLKMOOT_NATS_CREDENTIALS_FILE")
    assert named == {"gateway": where, "router": None, "delivery": None}


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
