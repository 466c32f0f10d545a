"""Depth Anything 3 as a static, exportable network: models, weights, layers. Imports torch; import it lazily."""
