"""The timed protocol, workers, statistics, parity, results, report, choice and the command line."""
