"""What one answer is worth: scoring functions of one document and the registry that task files name them by.

A scoring function gives an item, plain JSON; `assay_runner.statistics` makes values of the items of all documents.
"""
