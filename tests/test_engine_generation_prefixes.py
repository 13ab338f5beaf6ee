from hypothesis import given
from hypothesis import strategies as st

from runners.engine.generation_prefixes import group_prompts

prompt_lists = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), max_size=25)


def n_read(prompts, groups):
    own = sum(len(prompts[i]) - group.n_shared for group in groups for i in group.members)
    return own + sum(group.n_shared for group in groups)


def test_no_prompts_make_no_groups():
    assert group_prompts([]) == []


def test_single_prompt_shares_nothing():
    (group,) = group_prompts([[1] * 1000])
    assert (group.members, group.n_shared) == ([0], 0)


def test_few_shared_tokens_are_not_worth_a_prefix():
    assert [group.n_shared for group in group_prompts([[1, 2, 3]] * 9)] == [0]


def test_two_task_prompts_make_two_groups():
    prompts = [[task] * 200 + [place] for place in range(5) for task in (7, 8)]
    groups = group_prompts(prompts)
    assert sorted(sorted(group.members) for group in groups) == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]
    assert [group.n_shared for group in groups] == [200, 200]


def test_longest_prompts_come_first():
    prompts = [[1] * 300 + [2] * n for n in (3, 9, 5, 9)]
    (group,) = group_prompts(prompts)
    assert group.members == [1, 3, 2, 0]


@given(prompt_lists)
def test_each_prompt_is_in_one_group_that_it_begins_with(prompts):
    groups = group_prompts([[*prompt, *prompt] * 40 for prompt in prompts])
    assert sorted(i for group in groups for i in group.members) == list(range(len(prompts)))
    for group in groups:
        beginnings = {tuple((prompts[i] * 80)[: group.n_shared]) for i in group.members}
        assert len(beginnings) == 1
        assert all(group.n_shared < 80 * len(prompts[i]) for i in group.members)


@given(prompt_lists)
def test_sharing_never_reads_more(prompts):
    long = [[token for token in prompt for _ in range(50)] for prompt in prompts]
    assert n_read(long, group_prompts(long)) <= sum(map(len, long))
