"""The shipped cluster files, parsed, and what they are validated against."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from referencing import Registry, Resource

TOP = Path(__file__).resolve().parents[2]
CLUSTER = TOP / "cluster"
LAUNCHER_FILES = ("onpremise.yaml", "aws.yaml", "gcp.yaml")
KUBERAY_FILES = ("kuberay-raycluster.yaml", "kuberay-rayjob.yaml")
SHELL_FILES = ("slurm.sh", "environment.sh")
KUBERNETES = "1.37.0"

Manifest = dict[str, Any]


def launcher_file(name: str) -> Manifest:
    """A file of Ray's cluster launcher."""
    config: Manifest = yaml.safe_load((CLUSTER / name).read_text("utf-8"))
    return config


def documents(name: str) -> list[Manifest]:
    """The objects of a Kubernetes file."""
    return list(yaml.safe_load_all((CLUSTER / name).read_text("utf-8")))


def ray_object(name: str) -> Manifest:
    """The one RayCluster or RayJob of a file."""
    [found] = [each for each in documents(name) if each["apiVersion"].startswith("ray.io/")]
    return found


def ray_cluster_spec(name: str) -> Manifest:
    """What the file says of the Ray cluster."""
    spec: Manifest = ray_object(name)["spec"]
    inner: Manifest = spec.get("rayClusterSpec", spec)
    return inner


def pods(name: str) -> list[Manifest]:
    """All pod templates of a file."""
    spec = ray_object(name)["spec"]
    cluster = ray_cluster_spec(name)
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    submitter = [spec["submitterPodTemplate"]] if "submitterPodTemplate" in spec else []
    return [group["template"] for group in groups] + submitter


def check_ray_object(manifest: Manifest) -> None:
    """Check a RayCluster or RayJob, with its pods.

    Raises:
        jsonschema.ValidationError: it has a field too many, too few, or of the wrong type.
    """
    schema = json.loads((Path(__file__).parent / "kuberay-v1.schema.json").read_text("utf-8"))
    packaged = resources.files("kubernetes_validate") / "kubernetes-json-schema"
    definitions = json.loads(
        (packaged / f"v{KUBERNETES}-local-strict" / "_definitions.json").read_text("utf-8")
    )
    registry: Registry[Any] = Registry().with_resources(
        [(each["$id"], Resource.from_contents(each)) for each in (schema, definitions)]
    )
    kind = {"$ref": f"{schema['$id']}#/$defs/{manifest['kind']}"}
    validator = jsonschema.Draft202012Validator(kind, registry=registry)
    validator.validate(manifest)


def texts() -> Iterator[tuple[str, str]]:
    """Name and text of everything that is shipped for clusters."""
    for path in (*sorted(CLUSTER.iterdir()), TOP / "Dockerfile", TOP / ".dockerignore"):
        yield path.name, path.read_text("utf-8")
