"""Peak memory is a process's own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from depthport.exporters.core.provenance import peak_rss_mib


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_small_program_started_by_a_large_one_is_small() -> None:
    held = np.ones(64 << 20)  # 512 MiB
    code = "from depthport.exporters.core.provenance import peak_rss_mib; print(peak_rss_mib())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own = peak_rss_mib()
    assert own is not None and own > held.nbytes / (1 << 20)
    assert float(done.stdout) < 200
