"""`python -m depthport`: the command line."""

import os
import sys

# Python has put the working directory first on the path, and what happens to lie there is not what we import; unless it
# is the checkout itself, where nothing else may find us. No import before this that is not loaded already.
_HERE = os.getcwd()  # noqa: PTH109
if sys.path and sys.path[0] == _HERE and os.path.dirname(os.path.dirname(os.path.abspath(__file__))) != _HERE:  # noqa: PTH100, PTH120
    del sys.path[0]

from depthport.bench.cli.app import main  # noqa: E402

if __name__ == "__main__":
    main()
