"""Content of a report, as data: findings, ranking, recommendations."""
