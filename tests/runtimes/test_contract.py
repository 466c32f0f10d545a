"""The contract itself: a good citizen passes every check, each misbehaviour fails the one that is about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from depthport.exporters.core.errors import UnavailableError, UsageError
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.contract import CHECKS, ContractError, Subject, checks
from depthport.runtimes.registry import get_runtime
from tests.support.fake_runtime import fake_artifact


def subject(fake: str, folder: Path, **extra: object) -> Subject:
    artifact = fake_artifact(folder / "artifact")
    return Subject(get_runtime(f"tests.support.fakes:{fake}"), artifact, options=LoadOptions(extra=extra))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_good_citizen_passes(check: Callable[[Subject, Path], None], tmp_path: Path) -> None:
    check(subject("Fake", tmp_path, call_ms=2), tmp_path)


@pytest.mark.parametrize(
    ("fake", "check", "complaint"),
    [
        ("Lazy", checks.check_synchronize, "before the work is done"),
        ("Lazy", checks.check_outputs_are_final, "bound after the run"),
        ("NotANumber", checks.check_outputs, "not finite"),
        ("Forgetful", checks.check_rebinding, "does not depend on the bound inputs"),
        ("Aliasing", checks.check_outputs_are_copies, "overwrote"),
        ("Leaky", checks.check_close_frees, r"\d+ MiB behind"),
        ("Absent", checks.check_probe, None),
    ],
)
def test_misbehaviour_is_caught(
    fake: str, check: Callable[[Subject, Path], None], complaint: str | None, tmp_path: Path
) -> None:
    if complaint is None:
        check(subject(fake, tmp_path), tmp_path)
        return
    with pytest.raises(ContractError, match=complaint):
        check(subject(fake, tmp_path), tmp_path)


def test_a_wrong_shape_is_a_run_error(tmp_path: Path) -> None:
    from depthport.exporters.core.errors import RunError

    with pytest.raises(RunError, match="'depth' is float32 1x2x14x27, the artifact has float32 1x2x14x28"):
        checks.check_outputs(subject("WrongShape", tmp_path), tmp_path)


def test_an_unavailable_device_says_why_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="fake on cpu: fake is not installed: pip install fake"):
        subject("Absent", tmp_path).load()


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("tests.support.fakes:NoSuchClass", "has no 'NoSuchClass'"),
        ("no_such_module:Fake", "module 'no_such_module' can't be imported"),
        ("no-such-runtime", "choose one of"),
    ],
)
def test_unknown_adapters_are_usage_errors(path: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        get_runtime(path)
