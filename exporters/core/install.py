"""Every line that installs something, in one place: what is printed is what `depthport doctor --install` runs.

Double quotes are read by POSIX shells, PowerShell and cmd.exe alike. A test resolves every line against the registry.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from shutil import which

from depthport.exporters.core.errors import UnavailableError

UPSTREAM = "depth-anything-3"
_PLAIN = re.compile(r"[A-Za-z0-9_.=+:/-]+")


@dataclass(frozen=True)
class Install:
    """Packages that one line installs; as text, the line for pip."""

    requirements: tuple[str, ...]
    alone: bool = False
    """True: without its dependencies, and whatever Python versions its metadata names."""
    again: bool = False
    """True: reinstall it."""
    replaces: tuple[str, ...] = ()
    """Distributions that go first: their files lie in the same folders."""
    index: str | None = None
    """Another index than the configured one."""
    where: str = ""
    """An environment marker of the systems that it has packages for; empty: all."""

    def __str__(self) -> str:
        words = [f"pip uninstall -y {' '.join(self.replaces)} &&"] if self.replaces else []
        return " ".join([*words, "pip install", *self._options(pip=True), *map(_quoted, self.requirements)])

    def commands(self) -> Iterator[list[str]]:
        """The same as argument lists, with the installer that this environment has.

        Raises:
            UnavailableError: it has neither pip nor uv.
        """
        pip = find_spec("pip") is not None
        if not pip and which("uv") is None:
            raise UnavailableError("neither pip nor uv is installed: python -m ensurepip")
        tool, here = ([sys.executable, "-m", "pip"], []) if pip else (["uv", "pip"], ["--python", sys.executable])
        if self.replaces:
            yield [*tool, "uninstall", *(["-y"] if pip else here), *self.replaces]
        yield [*tool, "install", *here, *self._options(pip), *self.requirements]

    def _options(self, pip: bool) -> list[str]:
        # uv does not hold a package's upper bound against a newer Python.
        alone = ["--no-deps", "--ignore-requires-python"] if pip else ["--no-deps"]
        again = ["--force-reinstall"] if pip else ["--reinstall"]
        return [
            *(alone if self.alone else []),
            *(again if self.again else []),
            *(["--index-url", self.index] if self.index else []),
        ]


def as_here(text: str) -> str:
    """A text with lines for pip as this environment takes them: for uv, where it has made it and put no pip into it."""
    if find_spec("pip") is not None:
        return text
    for pip, uv in (
        ("--ignore-requires-python ", ""),
        ("--force-reinstall", "--reinstall"),
        ("pip uninstall -y", "uv pip uninstall"),
        ("pip install", "uv pip install"),
    ):
        text = text.replace(pip, uv)
    return text


def _quoted(requirement: str) -> str:
    return requirement if _PLAIN.fullmatch(requirement) else f'"{requirement}"'


def extras(*names: str) -> Install:
    """Return depthport's own requirements under these extras; it is installed, so no registry need have it."""
    return Install((f"depthport[{','.join(names)}]",))


def pinned(*requirements: str) -> tuple[Install, ...]:
    """`name==version` of a recorded run. Upstream's package comes last and alone.

    Without what stands after a `+`: such builds are in their maker's own index, and no registry resolves them.
    """
    public = [requirement.partition("+")[0] for requirement in requirements]
    upstream = tuple(r for r in public if r.startswith(f"{UPSTREAM}=="))
    plain = tuple(r for r in public if r not in upstream)
    return (*([Install(plain)] if plain else []), *([Install(upstream, alone=True)] if upstream else []))


_COREAI = (
    "python_version >= '3.11' and (platform_system == 'Linux' and platform_machine == 'x86_64'"
    " or platform_system == 'Darwin' and platform_machine == 'arm64')"
)
_NOT_WINDOWS = "platform_system != 'Windows'"
_NOT_MAC = "platform_system != 'Darwin'"

# Its metadata asks for numpy<2, xformers, open3d, pycolmap, ..., which its network never imports, and for
# Python <= 3.13 (meaning 3.13.0).
DA3_PACKAGE = Install((f"{UPSTREAM}==0.1.1",), alone=True)
DA3 = extras("da3")
DA3_ONNX = extras("da3", "onnx")
ONNXRUNTIME = Install(("onnxruntime",))
ONNXRUNTIME_AGAIN = Install(("onnxruntime",), again=True)
ONNXRUNTIME_OPENVINO = Install(("onnxruntime-ep-openvino",), where=_NOT_MAC)
ONNXRUNTIME_GPU = Install(("onnxruntime-gpu",), replaces=("onnxruntime",), where=_NOT_MAC)
CUDA_BINDINGS = Install(("cuda-bindings>=12.8",), where=_NOT_MAC)
TENSORRT = Install(("tensorrt-cu13",), where=_NOT_MAC)
TENSORRT_RTX = Install(("tensorrt-rtx-cu13",), where=_NOT_MAC)
TORCH_AGAIN = Install(("torch>=2.11,<2.14",), again=True)
TORCH_CPU = Install(
    ("torch>=2.11,<2.14",), again=True, index="https://download.pytorch.org/whl/cpu", where="platform_system == 'Linux'"
)
TRITON = Install(("triton",), where="platform_system == 'Linux'")
OPENVINO = extras("openvino")
OPENVINO_AGAIN = Install(("openvino",), again=True)
COREML = Install(extras("coreml").requirements, where=_NOT_WINDOWS)
DA3_COREML = Install(extras("da3", "coreml").requirements, where=_NOT_WINDOWS)
COREML_AGAIN = Install(("coremltools",), again=True, where=_NOT_WINDOWS)
COREML_NUMPY = Install(("numpy<2.4",), where=_NOT_WINDOWS)
COREAI = Install(extras("coreai").requirements, where=_COREAI)
DA3_COREAI = Install(extras("da3", "coreai").requirements, where=_COREAI)
COREAI_COMPRESS = Install(("coreai-opt", "torchao", "ninja"), alone=True, where=_COREAI)
LITERT = extras("litert")
LITERT_AGAIN = Install(("ai-edge-litert>=2.3,<2.4",), again=True)
DA3_LITERT = Install(extras("da3", "litert").requirements, where=_NOT_WINDOWS)
DA3_EXECUTORCH = extras("da3", "executorch")
EXECUTORCH_AGAIN = Install(("executorch>=1.5,<1.6",), again=True)
PREDICT = extras("predict")
REPORT = extras("report")
FLEET = extras("fleet")
HUB = Install(("huggingface-hub",))
SCIKIT_IMAGE = Install(("scikit-image",))
OPENCV = Install(("opencv-python-headless",))

ITSELF = "reinstall depthport (in a checkout: pip install -e .)"
"""Remedy where its entry points are not found."""
