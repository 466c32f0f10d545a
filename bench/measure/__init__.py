"""One run, from the plan to results: engine, pool of workers, length of the run."""
