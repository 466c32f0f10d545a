"""`python -m depthport`: the command line."""

from depthport.bench.cli.app import main

if __name__ == "__main__":
    main()
