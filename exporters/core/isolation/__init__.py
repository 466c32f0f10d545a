"""Running a converter in a process of its own, on copies, without network or installer."""

from depthport.exporters.core.isolation.call import Isolated, call_isolated

__all__ = ["Isolated", "call_isolated"]
