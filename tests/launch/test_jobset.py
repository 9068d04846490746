"""The JobSet manifest: its form, what it restarts, and how its pods find each other."""

import pytest
import yaml
from launching import ARGS, TEMPLATE, parts, pod_environment

from launch import jobset

# What the API server refuses: unknown fields, other types, missing ones (a * is required).
# JobSet: sigs.k8s.io/jobset/api/jobset/v1alpha2; Job and Pod: k8s.io/api/batch/v1, core/v1.
REF = {"fieldRef*": {"fieldPath*": str}}
POD = {
    "restartPolicy*": {"Never"},  # podFailurePolicy allows no other
    "terminationGracePeriodSeconds": int,
    "nodeSelector": {...: str},
    "containers*": [{
        "name*": str, "image*": str, "command": [str], "args": [str], "workingDir": str,
        "env": [{"name*": str, "value": str, "valueFrom": REF}],
        "ports": [{"containerPort*": int}],
        "volumeMounts": [{"name*": str, "mountPath*": str}],
        "resources": {"limits": {...: str}},
    }],
    "volumes": [{"name*": str, "persistentVolumeClaim": {"claimName*": str}}],
}  # fmt: skip
JOB = {
    "completionMode*": {"Indexed"},  # or pods have no index
    "completions*": int, "parallelism*": int, "backoffLimit": int,
    "podFailurePolicy": {"rules*": [{
        "action*": {"FailJob", "Ignore", "Count", "FailIndex"},
        "onExitCodes": {"containerName": str, "operator*": {"In", "NotIn"}, "values*": [int]},
        "onPodConditions": [{"type*": str, "status*": {"True", "False", "Unknown"}}],
    }]},
    "template*": {"spec*": POD},
}  # fmt: skip
RULE = {
    "name*": str,
    "action*": {"FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"},
    "onJobFailureReasons": [
        {"BackoffLimitExceeded", "DeadlineExceeded", "FailedIndexes", "MaxFailedIndexesExceeded",
         "PodFailurePolicy"}
    ],
    "targetReplicatedJobs": [str],
}  # fmt: skip
JOBSET = {
    "apiVersion*": {"jobset.x-k8s.io/v1alpha2"}, "kind*": {"JobSet"}, "metadata*": {"name*": str},
    "spec*": {
        "failurePolicy": {"maxRestarts": int, "rules": [RULE]},
        "replicatedJobs*": [{"name*": str, "replicas": int, "template*": {"spec*": JOB}}],
    },
}  # fmt: skip


def check(schema, value, place="jobset"):
    """Asserts that a manifest has the form of the schema."""
    if isinstance(schema, type):
        assert type(value) is schema, f"{place}: {value!r}"
    elif isinstance(schema, set):
        assert value in schema, f"{place}: {value!r}"
    elif isinstance(schema, list):
        assert isinstance(value, list), place
        for index, item in enumerate(value):
            check(schema[0], item, f"{place}[{index}]")
    else:
        assert isinstance(value, dict), place
        known = {str(key).removesuffix("*"): form for key, form in schema.items()}
        for name, item in value.items():
            assert name in known or ... in schema, f"{place}.{name} is not a field"
            check(known.get(name, schema.get(...)), item, f"{place}.{name}")
        for key in schema:
            assert not str(key).endswith("*") or key[:-1] in value, f"{place}.{key[:-1]} is missing"


def manifest(capsys, *argv, processes=3):
    flags = ["--name=dvp", "--image=a/b:1", f"--processes={processes}", "--claim=shared"]
    assert jobset.run([*flags, *argv]) == 0
    return yaml.safe_load(capsys.readouterr().out)


def test_jobset_has_the_form_of_its_api(capsys):
    template = yaml.safe_load(TEMPLATE.read_text())
    check(JOBSET, template)
    asked = manifest(capsys, "--limit=nvidia.com/gpu=8", "--select=pool=a100", *ARGS)
    check(JOBSET, asked)
    job, pod, container = parts(asked)
    assert (job["completions"], job["parallelism"]) == (3, 3)
    assert (container["image"], container["command"]) == ("a/b:1", ["python", "-m", "vdp.main"])
    assert container["args"] == [*ARGS[:2], ARGS[2].replace("$", "$$")], "Kubernetes makes $ of $$"
    assert container["resources"] == {"limits": {"nvidia.com/gpu": "8"}}
    assert pod["nodeSelector"] == {"pool": "a100"}
    (volume,), (mount,) = pod["volumes"], container["volumeMounts"]
    assert volume["persistentVolumeClaim"]["claimName"] == "shared"
    assert (mount["name"], mount["mountPath"]) == (volume["name"], container["workingDir"])


def test_jobset_restarts_all_pods_after_143_without_limit(capsys):
    asked = manifest(capsys)
    job, _, container = parts(asked)
    codes, condition = job["podFailurePolicy"]["rules"]
    assert codes["onExitCodes"]["values"] == [143]
    assert codes["onExitCodes"]["containerName"] == container["name"]
    assert condition["onPodConditions"][0]["type"] == "DisruptionTarget"
    assert {codes["action"], condition["action"]} == {"FailJob"}
    assert job["backoffLimit"] == 0
    policy = asked["spec"]["failurePolicy"]
    (rule,) = policy["rules"]
    assert rule["action"] == "RestartJobSetAndIgnoreMaxRestarts"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]
    assert policy["maxRestarts"] > 0, "of anything else"


def test_jobset_pods_find_the_first_of_them(capsys):
    asked = manifest(capsys)
    found = [pod_environment(asked, index) for index in range(3)]
    job = asked["spec"]["replicatedJobs"][0]["name"]
    port = parts(asked)[2]["ports"][0]["containerPort"]
    for index, environment in enumerate(found):
        assert environment["JAX_COORDINATOR_ADDRESS"] == f"dvp-{job}-0-0.dvp:{port}"
        assert environment["JAX_NUM_PROCESSES"] == "3"
        assert environment["JAX_PROCESS_ID"] == str(index)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "--name"),
        (["--name=Dvp"], "--name=Dvp"),
        (["--name=" + "a" * 41], "40"),
        (["--processes=0"], "at least 1"),
        (["--limit=gpu"], "--limit needs the form KEY=VALUE"),
        (["--confg=digits_vae"], "--confg"),
    ],
)
def test_jobset_refuses_what_cannot_be(capsys, argv, says):
    flags = ["--name=dvp", "--image=a", "--processes=2", "--claim=c"] if argv else []
    assert jobset.run([*flags, *argv]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: ")
    assert says in err
