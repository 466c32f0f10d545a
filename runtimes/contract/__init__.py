"""The contract of :mod:`depthport.runtimes.base` as functions: run them over any adapter, ours or a third party's.

    from depthport.runtimes.contract import CHECKS, Subject

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_contract(check, tmp_path):
        check(Subject(MyRuntime(), artifact, "cpu", LoadOptions(mode="fast")), tmp_path)

Each raises :class:`ContractError` with what the adapter got wrong.
"""

from depthport.runtimes.contract.checks import CHECKS
from depthport.runtimes.contract.subject import ContractError, Subject

__all__ = ["CHECKS", "ContractError", "Subject"]
