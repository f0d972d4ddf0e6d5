"""The ablation's rules: each is there, can be switched off, and is back afterwards."""

import pytest

from benchmarks.rules import RULES
from benchmarks.switches import Made, Rule, is_looked_up, place_of, switched_off


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_stand_in_takes_the_place_of_its_rule_and_leaves_it(rule):
    before = [getattr(*place_of(rule, place)) for place in rule.places.split()]
    with switched_off(rule):
        during = [getattr(*place_of(rule, place)) for place in rule.places.split()]
    after = [getattr(*place_of(rule, place)) for place in rule.places.split()]
    assert all(a is b or a == b for a, b in zip(before, after, strict=True))
    assert all(a is not b and a != b for a, b in zip(before, during, strict=True))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_is_looked_up_when_it_is_used(rule):
    assert all(is_looked_up(place) for place in rule.places.split())


def test_names_are_different():
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_a_rule_that_is_gone_stops_the_run():
    with pytest.raises(SystemExit, match="no such rule"), switched_off(Rule("x: gone", "mentions:_gone", None)):
        pass


def test_a_pattern_that_lost_its_part_stops_the_run():
    def lost(_):
        raise LookupError("the pattern holds no 'x' any more")

    with pytest.raises(SystemExit, match="holds no"), switched_off(Rule("x: lost", "mentions:_MORE", Made(lost))):
        pass


def test_calls_of_a_stand_in_are_counted():
    from scicap_builder import mentions

    rule = next(rule for rule in RULES if rule.places == "mentions:_between")
    with switched_off(rule) as calls:
        assert mentions.cited_numbers("Figs. 2–5") == ("2", "5")
    assert len(calls) == 1
    assert mentions.cited_numbers("Figs. 2–5") == ("2", "3", "4", "5")
