"""The betas that are installed against the newest ones that the registry serves: a newer one is to be tried, not feared."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.usefixtures("packages"), pytest.mark.slow]


def served(package: str) -> list[str]:
    """Versions that pip would install here, newest first."""
    command = [sys.executable, "-m", "pip", "index", "versions", "--pre", package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    line = next((line for line in done.stdout.splitlines() if line.startswith("Available versions:")), None)
    if line is None:
        pytest.skip(f"no package index can be asked for {package}")
    return line.partition(":")[2].replace(" ", "").split(",")


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Path:
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


def test_the_newest_versions_pass_the_same_tests(newest: Path) -> None:
    here = Path(__file__).parents[2]
    tests = [str(here / "exporters" / "coreai" / "test_lowerings.py"), str(here / "runtimes" / "coreai")]
    environment = {**os.environ, "PYTHONPATH": f"{newest}{os.pathsep}{here.parent}"}
    command = [sys.executable, "-m", "pytest", "-q", *tests]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
