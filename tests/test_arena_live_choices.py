"""The queue, what is drawn, and what is let in."""

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from arena.live.admission import Admission
from arena.live.categories import categorise, language_of
from arena.live.moderation import EndpointModerator, WordList, open_moderator
from arena.live.policies import POLICIES, make_policy
from arena.live.queueing import BoundedQueue
from arena.live.settings import LiveSettings
from evalcore.errors import InputError
from evalcore.stats.counts import Counts


def counts(models: str, **ties: int) -> Counts:
    """Make counts from ties such as ``ab=3``."""
    table = np.zeros((len(models), len(models)))
    for pair, n in ties.items():
        a, b = (models.index(model) for model in pair)
        table[a, b] = table[b, a] = n
    nothing = np.zeros_like(table)
    return Counts(
        models=tuple(models), wins=nothing, ties=table, win_squares=nothing, tie_squares=table
    )


def pairs(policy, votes: Counts, n: int) -> Counter:
    rng = np.random.default_rng(0)
    return Counter("".join(sorted(policy(votes, rng))) for _ in range(n))


def test_uniform_draws_every_pair_equally_often():
    drawn = pairs(make_policy("uniform"), counts("abcd", ab=1000), 6000)
    assert len(drawn) == 6
    # Five standard errors of a share of 1/6 over 6000 draws are 145.
    assert all(abs(n - 1000) < 145 for n in drawn.values())


def test_fewest_takes_the_pair_that_lacks_votes_and_draws_among_equals():
    policy = make_policy("fewest")
    assert pairs(policy, counts("abc", ab=5, ac=4, bc=3), 20) == {"bc": 20}
    assert set(pairs(policy, counts("abc", ab=1), 200)) == {"ac", "bc"}
    assert set(pairs(policy, counts("abc"), 200)) == {"ab", "ac", "bc"}


def test_fewest_keeps_all_pairs_within_one_vote_of_each_other():
    policy, rng = make_policy("fewest"), np.random.default_rng(1)
    votes = counts("abcde")
    for _ in range(47):
        votes = votes.add(*policy(votes, rng), "tie")
    played = votes.battles[np.triu_indices(5, k=1)]
    assert played.max() - played.min() <= 1


def test_active_spends_votes_where_the_border_is():
    rng = np.random.default_rng(2)
    votes = counts("abcd")
    for better, worse in ("ac", "ad", "bc", "bd", "cd"):
        for _ in range(60):
            votes = votes.add(better, worse, "model_a" if rng.random() < 0.9 else "model_b")
    assert pairs(make_policy("active", top_k=1), votes, 60)["ab"] > 40


@pytest.mark.parametrize("name", POLICIES)
def test_two_models_always_meet(name):
    assert pairs(make_policy(name, top_k=5), counts("ab", ab=3), 5) == {"ab": 5}


@pytest.mark.parametrize(("name", "top_k"), [("best", 1), ("active", 0)])
def test_unknown_policy_is_refused(name, top_k):
    with pytest.raises(InputError, match=r"policy must be one of uniform, fewest, active|top_k"):
        make_policy(name, top_k=top_k)


def test_queue_serves_in_order_and_knows_places():
    queue: BoundedQueue[str] = BoundedQueue(most_waiting=3)
    for key in "abc":
        assert queue.promise(key)
        queue.put(key, key.upper(), visitor=key)
    queue.put("a", "again", visitor="a")
    assert [queue.place(key) for key in "abcd"] == [1, 2, 3, None]
    assert not queue.promise("d")
    assert queue.leave("b") == "B"
    assert queue.promise("d")
    assert [queue.take(), queue.take()] == ["A", "C"]
    assert len(queue) == 0


def test_nobody_has_a_place_while_somebody_is_free_to_serve_them():
    queue: BoundedQueue[str] = BoundedQueue(most_waiting=3)
    queue._n_idle = 1  # as while a worker is waking up
    queue.put("a", "A", visitor="a")
    queue.put("b", "B", visitor="b")
    assert (queue.place("a"), queue.place("b")) == (None, 1)


def test_promised_places_count_until_they_are_forgotten():
    now = [0.0]
    queue: BoundedQueue[str] = BoundedQueue(most_waiting=1, clock=lambda: now[0])
    assert queue.promise("a")
    assert queue.promise("a")
    assert not queue.promise("b")
    now[0] = 31.0
    assert queue.promise("b")


def test_closing_the_queue_lets_workers_go():
    queue: BoundedQueue[str] = BoundedQueue(most_waiting=0)
    taken = ["unset"]
    worker = threading.Thread(target=lambda: taken.append(queue.take()))
    worker.start()
    queue.close()
    worker.join(20)
    assert taken == ["unset", None]


@pytest.mark.parametrize(
    ("prompt", "category"),
    [
        ("Write a Python function that sorts a list.", "code"),
        ("Fix this:\n```\nx = 1\n```", "code"),
        ("What is 12 * 7?", "maths"),
        ("What is 3 plus 4?", "maths"),
        ("Prove that the square root of 2 is irrational.", "maths"),
        ("How do you say 'good morning' in Vietnamese?", "translation"),
        ("Summarise this article in three sentences.", "summary"),
        ("Write a short poem about autumn.", "writing"),
        ("Pretend you are a pirate.", "role play"),
        ("Should I learn the piano?", "advice"),
        ("Who wrote Faust?", "question"),
        ("写一首关于秋天的诗", "writing"),
        ("Viết một bài thơ về mùa thu", "writing"),
        ("Thủ đô của Pháp là gì?", "question"),
        ("Good morning", "other"),
        ("", "other"),
    ],
)
def test_category_follows_the_rules(prompt, category):
    assert categorise(prompt) == category


@pytest.mark.parametrize(
    ("prompt", "language"),
    [
        ("Who wrote Faust?", "latin"),
        ("写一首关于秋天的诗", "zh"),
        ("秋についての詩を書いて", "ja"),
        ("Viết một bài thơ về mùa thu", "vi"),
        ("What does 你好 mean in ordinary English conversation?", "latin"),
        ("1 + 1", "latin"),
        ("", "latin"),
    ],
)
def test_language_is_guessed_by_letters(prompt, language):
    assert language_of(prompt) == language


def test_word_list_finds_whole_words_of_any_case(tmp_path):
    file = tmp_path / "words.txt"
    file.write_text("# what we don't want\nbomb\nnerve gas\n\nC++!\n")
    moderator = open_moderator(str(file))
    assert moderator.refuses("A BOMB.") == "on the list of words: BOMB"
    assert moderator.refuses("nerve gas") is not None
    assert moderator.refuses("C++!") is not None
    assert moderator.refuses("bombastic nerves") is None
    assert WordList([]).refuses("") is None


@pytest.mark.parametrize("content", [None, "", "# only a comment\n", b"\xff\xfe"])
def test_word_list_that_holds_nothing_is_refused(tmp_path, content):
    file = tmp_path / "words.txt"
    if content is not None:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError, match=r"words\.txt"):
        open_moderator(str(file))


@pytest.fixture
def moderation_service():
    """A service on loopback that flags what holds the word bad, and breaks on the word worse."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            flagged = "bad" in body["input"]
            result = {"flagged": flagged, "categories": {"violence": flagged, "hate": False}}
            self.send_response(500 if "worse" in body["input"] else 200)
            self.end_headers()
            self.wfile.write(json.dumps({"results": [result]}).encode())

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/moderations"
        server.shutdown()
        thread.join()


def test_endpoint_says_what_it_flags(moderation_service):
    moderator = open_moderator(moderation_service)
    assert isinstance(moderator, EndpointModerator)
    assert moderator.refuses("a bad prompt") == "violence"
    assert moderator.refuses("a good prompt") is None
    moderator.close()


def test_outage_lets_texts_in_and_is_remembered(moderation_service):
    moderator = open_moderator(moderation_service)
    admission = Admission(moderator, most_characters=100)
    admission.check_prompt("worse")
    admission.check_prompt("good")
    assert admission.was_unchecked("worse")
    assert not admission.was_unchecked("good")
    assert admission.n_outages == 1
    moderator.close()


@pytest.mark.parametrize(
    "settings",
    [{"most_running": 0}, {"most_waiting": -1}, {"silence_s": 0.0}, {"most_characters": 0}],
)
def test_limits_that_let_nothing_through_are_refused(settings):
    (name,) = settings
    with pytest.raises(InputError, match=name):
        LiveSettings(**settings)
