"""From samples and outputs to rows: parity, accuracy, advice, pictures."""
