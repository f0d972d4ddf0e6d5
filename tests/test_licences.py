"""Licences as papers, publishers and arXiv write them."""

import pytest

from llava_graph.licences import is_redistributable, licence_names

SENTENCE = (
    "Open AccessThis article is distributed under the terms of the Creative Commons Attribution License which permits "
    "any use, distribution, and reproduction in any medium"
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("http://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        ("https://www.creativecommons.org/licenses/by-nc/4.0", "CC-BY-NC-4.0"),
        ("http://creativecommons.org/licenses/CC-BY/4.0", "CC-BY-4.0"),
        ("http://creativecommons.org/licenses/by-nc-sa/3.0/", "CC-BY-NC-SA-3.0"),
        ("https://creativecommons.org/licenses/by-nc-nd/4.0/", "CC-BY-NC-ND-4.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("http://creativecommons.org/publicdomain/mark/1.0/", "public-domain"),
        ("http://creativecommons.org/licenses/publicdomain/", "public-domain"),
        ("cc-by-4.0", "CC-BY-4.0"),
        ("CC BY 4.0", "CC-BY-4.0"),
        ("CC_BY_SA", "CC-BY-SA"),
        ("CC0", "CC0-1.0"),
        ("This is CC BY-NC.", "CC-BY-NC"),
        ("Creative Commons Attribution 4.0 International License", "CC-BY-4.0"),
        ("Creative Commons Attribution-NonCommercial-NoDerivatives 4.0", "CC-BY-NC-ND-4.0"),
        ("a Creative Commons Attribution-Non-Commercial-Share Alike licence", "CC-BY-NC-SA"),
        ("the Creative Commons Attribution Non Commercial (CC BY-NC 4.0) license", "CC-BY-NC-4.0"),
        (SENTENCE, "CC-BY"),
        ("This article is in the public domain", "public-domain"),
        ("MIT", "MIT"),
        ("MIT (repo)", "MIT"),
        ("Released under the MIT License", "MIT"),
        ("Apache-2.0", "Apache-2.0"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("BSD-3-Clause", "BSD"),
    ],
)
def test_every_spelling_of_a_free_licence(text, name):
    assert licence_names(text) == (name,)
    assert is_redistributable(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unknown",
        "http://arxiv.org/licenses/nonexclusive-distrib/1.0/",
        "http://arxiv.org/licenses/assumed-1991-2003/",
        "arXiv.org perpetual, non-exclusive license",
        "© 2020 The MIT Press. All rights reserved.",
        "The MIT Press",
        "© Elsevier",
        "MIT (repo); paper: its arXiv licence",
        "CC BY 4.0. All rights reserved.",
        "free to read",
    ],
)
def test_what_is_not_free_or_not_known_stays_at_home(text):
    assert not is_redistributable(text)


def test_two_licences_in_one_text_are_both_named():
    assert licence_names("text CC-BY-4.0, code MIT licence") == ("CC-BY-4.0", "MIT")


def test_what_is_given_out_one_by_one_is_not_passed_on():
    assert licence_names("CC BY-NC-ND 3.0 (access on request)") == ("CC-BY-NC-ND-3.0", "restricted-access")
    assert not is_redistributable("CC BY-NC-ND 3.0 (access on request)")
    assert not is_redistributable("PhysioNet Credentialed Health Data License 1.5.0 (access credentialed)")
    assert is_redistributable("CC BY-NC-ND 3.0")
