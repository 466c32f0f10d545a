"""The second carrier of a bundle: a GitHub Actions workflow whose self-hosted runners are the fleet's machines.

Names and labels of the description enter it as data of the matrix and reach a shell as environment variables alone, so
none of them is ever a part of a script.
"""

from __future__ import annotations

from depthport.bench.fleet.description import Fleet
from depthport.exporters.core import install
from depthport.exporters.core.errors import UnavailableError, UsageError

_BUNDLE, _RESULTS = "fleet-bundle", "fleet-results"
_DAYS = 30
_SIX_HOURS = 360
"""Minutes; a job of a self-hosted runner may take five days."""


def workflow(fleet: Fleet, description: str) -> str:
    """The workflow as YAML.

    Args:
        description: path of FLEET.toml in the repository.

    Raises:
        UsageError: a machine has no labels.
        UnavailableError: the extra `fleet` is not installed.
    """
    try:
        import yaml
    except ImportError:
        raise UnavailableError(f"fleets need their packages: {install.FLEET}") from None
    if bare := [name for name, machine in fleet.machine.items() if not machine.labels]:
        raise UsageError(
            f"machine {bare[0]} has no labels: name those of its self-hosted runner, labels = ['self-hosted', …]"
        )
    text: str = yaml.safe_dump(_workflow(fleet, description), sort_keys=False, width=1000, allow_unicode=True)
    return f"# Written by `depthport fleet workflow`; write it again where {description} changes.\n{text}"


def _workflow(fleet: Fleet, description: str) -> dict[str, object]:
    first, *_ = fleet.machine.values()
    return {
        "name": f"depthport fleet {fleet.name}",
        "on": {"workflow_dispatch": {}},
        "permissions": {"contents": "read"},
        # Two runs of one fleet wait for each other: a machine measures for one at a time.
        "concurrency": {"group": f"depthport-fleet-{fleet.name}", "cancel-in-progress": False},
        "jobs": {
            "freeze": {
                "runs-on": list(first.labels),
                "steps": [
                    {"uses": "actions/checkout@v5"},
                    {
                        "name": "Freeze the bundle",
                        "env": {"PYTHON": first.python, "FLEET": description},
                        "shell": "bash",
                        "run": '"$PYTHON" -m depthport fleet freeze "$FLEET" --out bundle',
                    },
                    _upload(_BUNDLE, "bundle"),
                ],
            },
            "measure": {
                "needs": "freeze",
                "name": "${{ matrix.machine }}",
                "runs-on": "${{ matrix.labels }}",
                "timeout-minutes": _SIX_HOURS,
                "strategy": {
                    "fail-fast": False,
                    "matrix": {
                        "include": [
                            {"machine": name, "labels": list(machine.labels), "python": machine.python}
                            for name, machine in fleet.machine.items()
                        ]
                    },
                },
                "steps": [
                    _download({"name": _BUNDLE, "path": "bundle"}),
                    {
                        "name": "Measure",
                        "env": {"PYTHON": "${{ matrix.python }}", "MACHINE": "${{ matrix.machine }}"},
                        "shell": "bash",
                        "run": '"$PYTHON" -m depthport fleet work bundle --machine "$MACHINE" --out results',
                    },
                    {"if": "${{ !cancelled() }}", **_upload(f"{_RESULTS}-${{{{ matrix.machine }}}}", "results")},
                ],
            },
            "report": {
                "needs": ["freeze", "measure"],
                "if": "${{ !cancelled() && needs.freeze.result == 'success' }}",
                "runs-on": list(first.labels),
                "steps": [
                    _download({"name": _BUNDLE, "path": "bundle"}),
                    _download({"pattern": f"{_RESULTS}-*", "path": "results", "merge-multiple": True}),
                    {
                        "name": "Merge",
                        "env": {"PYTHON": first.python},
                        "shell": "bash",
                        "run": '"$PYTHON" -m depthport fleet merge bundle results',
                    },
                    _upload(f"{_RESULTS}-merged", "results"),
                ],
            },
        },
    }


def _upload(name: str, path: str) -> dict[str, object]:
    return {
        "uses": "actions/upload-artifact@v4",
        "with": {"name": name, "path": path, "retention-days": _DAYS, "if-no-files-found": "error"},
    }


def _download(what: dict[str, object]) -> dict[str, object]:
    return {"uses": "actions/download-artifact@v5", "with": what}
