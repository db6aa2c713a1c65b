"""Comparisons of runs whose answers are made up, so that every figure can be worked out by hand."""

from __future__ import annotations

import csv
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from vl_dora.reports.comparison import compare_trials, holm
from vl_dora.reports.comparison_charts import learning_curves, scatter, write_charts
from vl_dora.reports.comparison_gallery import ALL_RIGHT, ALL_WRONG, DIFFERENT, gallery
from vl_dora.reports.comparison_page import write_page
from vl_dora.reports.comparison_tables import markdown, method_rows, write_csv
from vl_dora.reports.trials import Trial, flattened, labels


def trial(
    adapter: str,
    scores: list[float],
    *,
    seed: int = 1,
    clusters: list[str] | None = None,
    order: str = "same",
    steps: int = 100,
    settings: dict | None = None,
    trainable: int = 10,
) -> Trial:
    """A run with samples 0, 1, … of these scores."""
    names = [str(i) for i in range(len(scores))]
    results = {
        "adapter": adapter,
        "headline": "accuracy",
        "scores": {"accuracy": float(np.mean(scores))},
        "by_type": {"question_type": {"is": float(np.mean(scores))}},
        "split": "test",
        "samples": len(scores),
        "steps": steps,
        "samples_seen": steps * 8,
        "data_order": order,
        "trainable": trainable,
        "share_percent": trainable / 10,
        "seconds_a_step": 0.1,
    }
    answers = {
        name: {
            "id": name,
            "score": score,
            "cluster": (clusters or names)[int(name)],
            "text": "yes" if score else "no",
            "prompt": f"is it {name}?",
            "answers": ["yes"],
            "groups": {"question_type": "is"},
        }
        for name, score in zip(names, scores, strict=True)
    }
    config = {"seed": seed, "adapter.language.method": adapter, **(settings or {})}
    curve = {"val/accuracy": ([10.0, 20.0], [50.0, float(np.mean(scores))])}
    return Trial(Path(f"/runs/{adapter}/{seed}"), config, results, answers=answers, curve=curve)


def failed(adapter: str, error: str = "no room left") -> Trial:
    return Trial(Path("/runs/failed"), {"seed": 3, "adapter.language.method": adapter}, error=error)


RANDOM = np.random.default_rng(0)
MANY = [100.0 * (RANDOM.random(400) < 0.8) for _ in range(3)]


def test_the_mean_and_its_spread_are_over_seeds() -> None:
    found = compare_trials([trial("dora", list(one), seed=i) for i, one in enumerate(MANY)])
    (method,) = found.methods
    means = [one.mean() for one in MANY]
    assert method.mean == pytest.approx(np.mean(means))
    assert method.spread == pytest.approx(np.std(means, ddof=1))


def test_the_interval_of_one_run_is_that_of_its_samples() -> None:
    (method,) = compare_trials([trial("dora", list(MANY[0]))], resamples=20_000).methods
    error = MANY[0].std() / 20
    low, high = method.interval
    assert low == pytest.approx(MANY[0].mean() - 1.96 * error, abs=0.35)
    assert high == pytest.approx(MANY[0].mean() + 1.96 * error, abs=0.35)


def test_samples_that_belong_together_make_the_interval_wider() -> None:
    scores = list(np.repeat(100.0 * (RANDOM.random(40) < 0.5), 10))
    alone = compare_trials([trial("a", scores)]).methods[0].interval
    together = compare_trials([trial("a", scores, clusters=[str(i // 10) for i in range(400)])])
    low, high = together.methods[0].interval
    assert high - low > 2 * (alone[1] - alone[0])


def test_seeds_that_differ_make_the_interval_wider_than_samples_alone() -> None:
    apart = [[60.0] * 50, [80.0] * 50, [100.0] * 50]
    (method,) = compare_trials([trial("a", one, seed=i) for i, one in enumerate(apart)]).methods
    assert method.interval == pytest.approx((60.0, 100.0), abs=7)


def test_trials_of_other_samples_still_have_an_interval() -> None:
    (method,) = compare_trials([trial("a", [100.0] * 9, seed=1), trial("a", [0.0] * 5, seed=2)]).methods
    assert method.mean == 50
    assert method.interval == pytest.approx((0, 100))


def test_a_difference_of_nothing_has_p_of_one_and_a_clear_one_a_small_p() -> None:
    base = list(MANY[0])
    better = [100.0 if i < 100 else s for i, s in enumerate(base)]
    found = compare_trials([trial("a", base), trial("b", base), trial("c", better)])
    pairs = {(p.first, p.second): p for p in found.pairs}
    assert pairs["a", "b"].p_value == 1
    assert pairs["a", "b"].difference == 0
    assert pairs["a", "c"].difference == pytest.approx(np.mean(better) - np.mean(base))
    assert pairs["a", "c"].p_value < 0.01
    assert pairs["a", "c"].low > 0


def test_p_values_are_those_of_all_sign_flips_counted() -> None:
    change = np.array([100.0, 100, 100, -100, 100, 0, 0, 100, -100, 100, 100, 0])
    first = np.where(change > 0, 0.0, 100.0)
    (pair,) = compare_trials(
        [trial("a", list(first)), trial("b", list(first + change))], resamples=20_000
    ).pairs
    flips = [
        abs(sum(s * c for s, c in zip(signs, change, strict=True))) for signs in product((-1, 1), repeat=12)
    ]
    exact = np.mean([one >= abs(change.sum()) - 1e-9 for one in flips])
    assert pair.p_value == pytest.approx(exact, abs=0.01)


def test_holms_correction_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_equal_terms_are_told_as_such() -> None:
    assert compare_trials([trial("a", [1.0, 2.0]), trial("b", [2.0, 3.0])]).conditions == ()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"order": "another"}, "under seed 1"),
        ({"steps": 50}, "different numbers of steps (100: a; 50: b)"),
        ({"seed": 2}, "different seeds (1: a; 2: b)"),
    ],
)
def test_what_is_not_equal_is_told(other, said) -> None:
    found = compare_trials([trial("a", [1.0, 2.0]), trial("b", [2.0, 3.0], **other)])
    assert any(said in sentence for sentence in found.conditions)


def test_a_network_that_does_not_train_needs_no_budget() -> None:
    frozen = trial("frozen", [1.0, 2.0], steps=0, trainable=0, order="None")
    assert compare_trials([frozen, trial("a", [1.0, 2.0])]).conditions == ()


def test_methods_that_answered_other_samples_are_not_paired() -> None:
    found = compare_trials([trial("a", [1.0] * 3), trial("b", [1.0] * 4)])
    assert found.pairs == ()
    assert any("left out" in sentence for sentence in found.conditions)


def test_a_failed_run_is_a_row_with_its_error() -> None:
    found = compare_trials([trial("a", [1.0, 2.0]), failed("lora")])
    assert [(name, one.error) for name, one in found.failed] == [("lora", "no room left")]
    assert "| lora | 3 | no room left |" in markdown(found)


def test_runs_that_all_failed_say_why() -> None:
    with pytest.raises(ValueError, match="none of the 1 runs finished with a score; .* no room left"):
        compare_trials([failed("lora")])


def test_a_label_tells_what_differs_and_no_more() -> None:
    def run(adapter: str, seed: int, **settings) -> Trial:
        return trial(adapter, [1.0], seed=seed, settings=settings)

    one = [run("lora", 1, **{"optim.lr": 1}), run("dora", 2, **{"optim.lr": 1})]
    assert labels(one) == ["lora", "dora"]
    two = [run("lora", 1, **{"optim.lr": 1}), run("lora", 1, **{"optim.lr": 2})]
    assert labels(two) == ["lora lr=1", "lora lr=2"]
    ranks = [run("dora", 1, **{"adapter.language.rank": r}) for r in (4, 8)]
    assert labels([*ranks, run("lora", 1)])[:2] == ["dora rank=4", "dora rank=8"]


def test_settings_are_told_by_dotted_names() -> None:
    assert flattened({"a": {"b": 1, "c": [1, 2]}, "d": {}}) == {"a.b": 1, "a.c": [1, 2], "d": {}}


def test_columns_without_figures_are_left_out() -> None:
    heads, rows = method_rows(compare_trials([trial("a", [1.0, 2.0])]))
    assert heads == ["method", "runs", "accuracy %", "95 % interval", "trainable", "share %", "s a step"]
    assert rows[0][:2] == ["a", "1"]


def test_csv_has_a_line_a_run(tmp_path) -> None:
    found = compare_trials([trial("a", [1.0, 2.0]), trial("a", [2.0, 2.0], seed=2), failed("b")])
    write_csv(found, tmp_path / "c.csv", ["adapter.language.method"])
    with (tmp_path / "c.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["score"] for row in rows] == ["1.5", "2.0", ""]
    assert rows[2]["error"] == "no room left"
    assert [row["adapter.language.method"] for row in rows] == ["a", "a", "b"]


def test_the_gallery_shows_each_verdict_and_counts_all() -> None:
    a = trial("a", [100.0, 100.0, 0.0, 0.0])
    b = trial("b", [100.0, 0.0, 0.0, 100.0])
    cards, counts = gallery(compare_trials([a, b]), limit=3, read=lambda line: [])
    assert counts == {DIFFERENT: 2, ALL_WRONG: 1, ALL_RIGHT: 1}
    assert [card.verdict for card in cards] == [DIFFERENT, ALL_WRONG, ALL_RIGHT]
    assert [(one.label, one.texts, one.tone) for one in cards[0].said] == [
        ("a", ("yes",), "right"),
        ("b", ("no",), "wrong"),
    ]


def test_a_picture_that_is_gone_does_not_stop_the_page() -> None:
    def gone(line):
        raise FileNotFoundError("a.png is not there")

    cards, _ = gallery(compare_trials([trial("a", [100.0])]), limit=3, read=gone)
    assert cards[0].lost == "a.png is not there"


def test_charts_are_whole_svg_and_the_same_twice(tmp_path) -> None:
    found = compare_trials([trial("a", [1.0, 2.0]), trial("frozen", [1.0, 2.0], trainable=0)])
    charts = [("share", scatter(found)), ("curve", learning_curves(found, "val/accuracy"))]
    write_charts(charts, tmp_path)
    text = (tmp_path / "share.svg").read_text()
    assert text.rstrip().endswith("</svg>")
    assert ">frozen<" in text
    assert scatter(found) == charts[0][1]
    assert learning_curves(found, "nothing") is None


@pytest.mark.slow
def test_a_browser_filters_answers_and_sorts_methods_without_an_error_or_a_request(tmp_path, browser) -> None:
    found = compare_trials([trial("b", [100.0, 0.0, 0.0]), trial("a", [100.0, 100.0, 0.0]), failed("c")])
    charts = [("score", scatter(found))]
    page = tmp_path / "comparison.html"
    write_page(found, page, title="t", charts=charts, limit=9, read=lambda line: [])
    # The press of a button is added to a copy: a page that is only rendered knows no hand.
    press = (
        "<script>document.querySelector('[data-key=verdict] [data-value=\"all wrong\"]').click();"
        "document.querySelectorAll('#methods th button')[2].click();"
        "const fetched = performance.getEntriesByType('resource').map(entry => entry.name);"
        "document.body.dataset.fetched = fetched.filter(name => !name.startsWith('data:')).join();"
        "document.body.dataset.wide = document.documentElement.scrollWidth - innerWidth;"
        "console.log('pressed')</script>"
    )
    page.write_text(page.read_text().replace("</body>", press + "</body>"))
    seen = browser.rendered(page, tmp_path / "profile")
    html, said = seen.html, seen.console
    assert len(said) == 1 and "pressed" in said[0], said
    assert len(re.findall(r"<article(?![^>]*hidden)", html)) == 1 and ">1 of 3 shown<" in html
    body = re.search(r'id="methods".*?<tbody>(.*?)</tbody>', html, re.S).group(1)
    assert re.findall(r"<tr><td>(\w)</td>", body) == ["a", "b"], "the highest score first"
    assert 'data-fetched=""' in html
    assert int(re.search(r'data-wide="(-?\d+)"', html).group(1)) <= 0
