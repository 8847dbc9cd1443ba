"""
Leader election in frameworks that need a class of ours; nothing here is imported by the rest.

Most frameworks need none: the recipes in the documentation are a few lines each.
"""
