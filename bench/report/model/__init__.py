"""What a report says, as data: findings, ranking, recommendations."""
