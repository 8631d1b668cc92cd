"""Chunks cover every document once, depend on the documents alone, and cost about the same."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from assay_runner.plan.chunks import LARGEST, SMALLEST, boundaries, document_cost

COSTS = st.lists(st.floats(1, 1e6), min_size=1, max_size=2000)


@given(COSTS, st.one_of(st.none(), st.integers(1, 500)))
def test_chunks_cover_all_documents_in_order(costs, size):
    cuts = boundaries(costs, size)
    assert cuts[0] == 0 and cuts[-1] == len(costs) and all(low < high for low, high in pairwise(cuts))


@given(COSTS)
def test_chunks_hold_16_to_256_documents(costs):
    sizes = [high - low for low, high in pairwise(boundaries(costs, None))]
    assert max(sizes) <= LARGEST and all(size >= SMALLEST for size in sizes[:-1])


@given(COSTS, st.integers(1, 512))
def test_no_chunk_but_the_last_leaves_a_batch_half_empty(costs, batch):
    sizes = [high - low for low, high in pairwise(boundaries(costs, None, batch))]
    assert max(sizes) <= LARGEST and all(size % min(batch, LARGEST) == 0 for size in sizes[:-1])


@given(st.integers(1, 300), st.integers(1, 1000))
def test_a_fixed_size_is_kept(size, count):
    sizes = [high - low for low, high in pairwise(boundaries([1.0] * count, size))]
    assert all(found == size for found in sizes[:-1]) and sizes[-1] <= size


def test_expensive_documents_get_smaller_chunks():
    sizes = [high - low for low, high in pairwise(boundaries([10.0] * 1000 + [1000.0] * 1000, None))]
    assert sizes[0] > sizes[-2]


def test_a_document_costs_more_the_more_text_it_has():
    assert document_cost({"text": "long " * 100}) > document_cost({"text": "short"}) > 0
