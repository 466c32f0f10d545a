"""The betas that are installed against the newest ones that the registry serves: a newer one is to be tried, not feared."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.usefixtures("packages"), pytest.mark.slow]


def served(package: str) -> list[str]:
    """Versions that pip would install here, newest first."""
    command = [sys.executable, "-m", "pip", "index", "versions", "--pre", "--json", package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip(f"no package index can be asked: {done.stderr.strip().splitlines()[-1:]}")
    return list(json.loads(done.stdout)["versions"])


@pytest.fixture(scope="module")
def newest(tmp_path_factory):
    """Folder with the newest versions where they are newer than those installed."""
    from depthport.exporters.core.provenance import package_version

    newer = {
        package: versions[0]
        for package in ("coreai-core", "coreai-torch")
        if (versions := served(package)) and versions[0] != package_version(package)
    }
    if not newer:
        pytest.skip("the newest served versions are the ones installed, which all other tests run")
    folder = tmp_path_factory.mktemp("newest")
    wanted = [f"{package}=={version}" for package, version in newer.items()]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), *wanted],
        check=True,
        timeout=600,
    )
    return folder


def test_the_newest_versions_pass_the_same_tests(newest):
    import os
    from pathlib import Path

    here = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(here / "exporters/coreai/test_lowerings.py"), str(here / "runtimes/coreai")],
        env={**os.environ, "PYTHONPATH": f"{newest}{os.pathsep}{here.parent}"}, capture_output=True, text=True, timeout=900,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
