"""What tests of launchers start, and what they read of sweeps and manifests."""

from checkout import ROOT

from launch import sweep

TEMPLATE = ROOT / "launch" / "jobset.yaml"
ARGS = ["--config=digits_vae:smoke", "--workdir=a folder", "--config.x=$(HOME) 'quoted' *"]
BASE = ("--config=digits_vae:smoke", "--grid=prior=normal,vdm")
SEARCHED = ("--config=digits_vae:smoke", "--config.train.steps=100", "--config.eval.every=10")
RATES = "--space=optim.learning_rate=log(1e-3,0.4)"
NORMAL, VDM = "prior=normal/seed-", "prior=vdm/seed-"


def calls(tmp_path):
    """{run: how often it was started}."""
    folder = tmp_path / "sweep"
    return {
        str(path.parent.relative_to(folder)): len(path.read_text())
        for path in sorted(folder.rglob("calls"))
    }


def planned(*argv):
    flags, overrides, _ = sweep.parse(list(argv))
    return sweep.plan(flags, overrides)


def parts(jobset_manifest):
    """The job, its pod and its container."""
    (replicated,) = jobset_manifest["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    pod = job["template"]["spec"]
    return job, pod, pod["containers"][0]


def pod_environment(jobset_manifest, index):
    """What a pod's processes find in their environment, as the kubelet fills it in."""
    name = jobset_manifest["metadata"]["name"]
    fields = {
        "metadata.labels['jobset.sigs.k8s.io/jobset-name']": name,
        "metadata.annotations['batch.kubernetes.io/job-completion-index']": str(index),
    }
    found = {}
    for entry in parts(jobset_manifest)[2]["env"]:
        value = entry.get("value")
        if value is None:
            value = fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        for known, text in found.items():  # only what was defined before
            value = value.replace(f"$({known})", text)
        found[entry["name"]] = value
    return found
