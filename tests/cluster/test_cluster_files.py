from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
from cluster.manifests import (
    CLUSTER,
    KUBERAY_FILES,
    KUBERNETES,
    LAUNCHER_FILES,
    SHELL_FILES,
    TOP,
    Manifest,
    check_ray_object,
    documents,
    launcher_file,
    pods,
    ray_cluster_spec,
    ray_object,
    texts,
)
from ray.autoscaler._private.util import prepare_config, validate_config

INLINE = "1000000"
TOOLS = Path(sys.executable).parent


def start_commands(config: Manifest) -> list[str]:
    commands = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    return [command for command in commands if "ray start" in command]


# ------------------------------------------------------------------ Ray's cluster launcher


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_launcher_files_are_what_ray_accepts(name: str) -> None:
    validate_config(prepare_config(launcher_file(name)))


@pytest.mark.parametrize(
    "mutate",
    [
        lambda config: config.update(idle_timeout="5"),
        lambda config: config["auth"].update(password="x"),
        lambda config: config["provider"].update(worker_ips="192.0.2.11"),
    ],
)
def test_ray_refuses_mistakes_in_launcher_files(mutate: Callable[[Manifest], None]) -> None:
    config = launcher_file("onpremise.yaml")
    mutate(config)
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config(config))


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_launchers_bring_the_project_with_its_pins_to_every_node(name: str) -> None:
    config = launcher_file(name)
    for remote, local in config["file_mounts"].items():
        assert local.startswith("~") or (TOP / local).exists(), f"{remote}: no {local}"
    install = config["setup_commands"][-1]
    assert re.search(
        r"pip install .*--constraint constraints.txt '\.\[(cluster|aws|gcp),torch\]'", install
    )
    assert config["file_mounts"]["~/aes_lipi/constraints.txt"] == "constraints.txt"


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_nodes_run_no_other_commands_than_these(name: str) -> None:
    config = launcher_file(name)
    prepared = prepare_config(config)
    for each in ("head", "worker"):
        assert prepared[f"{each}_setup_commands"] == config["setup_commands"]
        assert prepared[f"{each}_start_ray_commands"] == config[f"{each}_start_ray_commands"]
    assert prepared["initialization_commands"] == config.get("initialization_commands", [])


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_launchers_distribute_the_token_and_the_environment(name: str) -> None:
    config = launcher_file(name)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert config["file_mounts"]["~/aes_lipi/environment.sh"] == "cluster/environment.sh"
    assert "chmod 600 ~/.ray/auth_token" in config["setup_commands"]
    assert any(
        "aes_lipi/environment.sh" in command and ">> ~/.bashrc" in command
        for command in config["setup_commands"]
    )


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_launchers_keep_the_dashboard_to_the_head(name: str) -> None:
    config = launcher_file(name)
    [head] = [command for command in start_commands(config) if "--head" in command]
    assert "--dashboard-host=127.0.0.1" in head
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in head


@pytest.mark.parametrize("name", ["aws.yaml", "gcp.yaml"])
def test_clouds_scale_cpu_and_gpu_workers_from_none(name: str) -> None:
    config = launcher_file(name)
    types = config["available_node_types"]
    assert set(types) == {"head", "cpu_worker", "gpu_worker"}
    assert types["cpu_worker"]["min_workers"] == types["gpu_worker"]["min_workers"] == 0
    assert (
        types["cpu_worker"]["max_workers"] + types["gpu_worker"]["max_workers"]
        == (config["max_workers"])
    )


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_idle_nodes_go(name: str) -> None:
    assert 0 < launcher_file(name)["idle_timeout_minutes"] <= 15


# --------------------------------------------------------------------------------- KubeRay


@pytest.mark.parametrize("name", KUBERAY_FILES)
def test_kuberay_files_are_what_kubernetes_accepts(name: str) -> None:
    check_ray_object(ray_object(name))
    for each in documents(name):
        if not each["apiVersion"].startswith("ray.io/"):
            kubernetes_validate.validate(each, KUBERNETES, strict=True)


def _misspell_the_mode(spec: Manifest) -> None:
    spec["authOptions"]["mode"] = "tokens"


def _misspell_a_field_of_the_pod(spec: Manifest) -> None:
    spec["headGroupSpec"]["template"]["spec"]["restartpolicy"] = "Never"


def _give_a_number_where_a_text_is_due(spec: Manifest) -> None:
    spec["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0


def _forget_the_name_of_a_group(spec: Manifest) -> None:
    del spec["workerGroupSpecs"][0]["groupName"]


def _give_an_environment_variable_a_number(spec: Manifest) -> None:
    spec["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["env"][1]["value"] = 1000000


@pytest.mark.parametrize("name", KUBERAY_FILES)
@pytest.mark.parametrize(
    "mutate",
    [
        _misspell_the_mode,
        _misspell_a_field_of_the_pod,
        _give_a_number_where_a_text_is_due,
        _forget_the_name_of_a_group,
        _give_an_environment_variable_a_number,
    ],
)
def test_mistakes_in_kuberay_files_are_found(name: str, mutate: Callable[[Manifest], None]) -> None:
    manifest = copy.deepcopy(ray_object(name))
    spec = manifest["spec"]
    mutate(spec.get("rayClusterSpec", spec))
    with pytest.raises(jsonschema.ValidationError):
        check_ray_object(manifest)


@pytest.mark.parametrize("name", KUBERAY_FILES)
def test_kuberay_asks_for_tokens_of_the_pinned_ray(name: str) -> None:
    spec = ray_cluster_spec(name)
    assert spec["authOptions"] == {"mode": "token"}
    assert f"ray=={spec['rayVersion']}" in (TOP / "constraints.txt").read_text("utf-8").split()


@pytest.mark.parametrize("name", KUBERAY_FILES)
def test_kuberay_scales_cpu_and_gpu_workers_from_none(name: str) -> None:
    spec = ray_cluster_spec(name)
    assert spec["enableInTreeAutoscaling"] is True
    assert {group["groupName"] for group in spec["workerGroupSpecs"]} == {"cpu", "gpu"}
    for group in spec["workerGroupSpecs"]:
        assert group["minReplicas"] == group["replicas"] == 0
        asks = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert ("nvidia.com/gpu" in asks) == (group["groupName"] == "gpu")


@pytest.mark.parametrize("name", KUBERAY_FILES)
def test_pods_run_as_nobody_special_and_get_what_they_ask_for(name: str) -> None:
    for pod in pods(name):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        for container in spec["containers"]:
            assert container["image"].split(":")[0] == "aes_lipi"
            assert container["resources"]["requests"] == container["resources"]["limits"]
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("name", KUBERAY_FILES)
def test_ray_pods_have_the_environment(name: str) -> None:
    spec = ray_cluster_spec(name)
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        environment = group["template"]["spec"]["containers"][0]["env"]
        values = {each["name"]: each.get("value") for each in environment}
        assert values["RAY_max_direct_call_object_size"] == INLINE
        assert values["RAY_USAGE_STATS_ENABLED"] == "0"
        assert values["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize("name", KUBERAY_FILES)
def test_only_pods_of_the_cluster_and_the_operator_are_let_in(name: str) -> None:
    [policy] = [each for each in documents(name) if each["kind"] == "NetworkPolicy"]
    selected = policy["spec"]["podSelector"]["matchLabels"]
    for pod in pods(name):
        assert selected.items() <= pod["metadata"]["labels"].items()
    among, *others = policy["spec"]["ingress"]
    assert among["from"] == [{"podSelector": {"matchLabels": selected}}]
    for other in others:
        assert [port["port"] for port in other["ports"]] == [8265]
        [source] = other["from"]
        assert set(source) == {"namespaceSelector", "podSelector"}


def test_the_dashboard_of_a_standing_cluster_is_on_the_loopback_address() -> None:
    params = ray_cluster_spec("kuberay-raycluster.yaml")["headGroupSpec"]["rayStartParams"]
    assert params["dashboard-host"] == "127.0.0.1"


def test_a_job_writes_to_the_volume_and_takes_its_cluster_along() -> None:
    spec = ray_object("kuberay-rayjob.yaml")["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    [folder] = re.findall(r"--output_dir (\S+)", spec["entrypoint"])
    head = spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    [mount] = head["containers"][0]["volumeMounts"]
    assert folder.startswith(mount["mountPath"] + "/")
    claims = [
        each["metadata"]["name"]
        for each in documents("kuberay-rayjob.yaml")
        if each["kind"] == "PersistentVolumeClaim"
    ]
    assert [volume["persistentVolumeClaim"]["claimName"] for volume in head["volumes"]] == claims


# --------------------------------------------------------------------------- shell scripts


@pytest.mark.parametrize("name", SHELL_FILES)
def test_shell_files_are_clean(name: str) -> None:
    subprocess.run(["bash", "-n", CLUSTER / name], check=True)
    subprocess.run([TOOLS / "shellcheck", "-x", CLUSTER / name], check=True, cwd=TOP)


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("*.sh")), ids=lambda p: p.name)
def test_scripts_of_the_tests_are_clean(path: Path) -> None:
    subprocess.run([TOOLS / "shellcheck", path], check=True)


def test_the_environment_of_nodes() -> None:
    names = ["RAY_AUTH_MODE", "RAY_max_direct_call_object_size", "RAY_USAGE_STATS_ENABLED"]
    script = f". {CLUSTER / 'environment.sh'}; printenv {' '.join(names)} OMP_NUM_THREADS"
    shown = subprocess.run(
        ["sh", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": "/bin:/usr/bin"},
    )
    assert shown.stdout.split() == ["token", INLINE, "0", "1"]


def test_slurm_starts_ray_with_a_token_and_a_private_dashboard() -> None:
    text = (CLUSTER / "slurm.sh").read_text("utf-8")
    assert ". cluster/environment.sh" in text
    assert "RAY_AUTH_TOKEN_PATH=" in text
    assert "--dashboard-host=127.0.0.1" in text
    assert 'exit "$code"' in text


# ------------------------------------------------------------------------------- every file


def test_nothing_listens_everywhere_and_no_package_host_is_named() -> None:
    for name, text in texts():
        assert "0.0.0.0" not in text, name
        for host in re.findall(r"https?://([^/\s:\"']+)", text):
            assert host in {"127.0.0.1", "localhost", "$POD_IP"}, f"{name} names {host}"
        assert not re.search(r"--(extra-)?index-url (?!\"\$TORCH_INDEX\")", text), name


def test_every_file_says_that_tokens_are_needed() -> None:
    for name in (*LAUNCHER_FILES, *KUBERAY_FILES, *SHELL_FILES, "README.md"):
        assert "token" in (CLUSTER / name).read_text("utf-8"), name
