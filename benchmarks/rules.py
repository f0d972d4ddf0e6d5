"""The rules of the extraction, each with what stands in for it when it is switched off: what `bench_rules` goes through."""

import importlib
import re
from collections.abc import Callable
from typing import Any

from benchmarks.switches import Made, Rule

NEVER = re.compile(r"(?!)")


def _off(value: Any) -> Callable[..., Any]:
    """A function that always gives `value`."""
    return lambda *_, **__: value


def _first(value: Any, *_: Any, **__: Any) -> Any:
    return value


def _as_list(value: Any, *_: Any, **__: Any) -> list[Any]:
    return list(value)


def _as_tuple(value: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
    return tuple(value)


def _without(part: str) -> Made:
    """A pattern without one of its parts, which must be there."""

    def make(before: re.Pattern[str]) -> re.Pattern[str]:
        if part not in before.pattern:
            raise LookupError(f"the pattern holds no {part!r} any more")
        return re.compile(before.pattern.replace(part, ""), before.flags)

    return Made(make)


def _lacking(*names: str) -> Made:
    """A table without some of its entries."""
    return Made(lambda before: {key: value for key, value in before.items() if key not in names})


def _piece(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"scicap_builder.{module}"), name)


def _remark() -> Made:
    return _without(rf"(?:\s?{_piece('mentions', '_REMARK')})?")


def _other_kinds() -> Made:
    return _without(f"|{_piece('mentions', '_OTHER_KINDS')}")


def _supplement() -> Made:
    return _without(rf"{_piece('mentions', '_SUPPLEMENT')}?")


def _units() -> Made:
    return _lacking(*_piece("latex.units", "COMMANDS"))


def _largest(large: Any, _style: Any) -> float:
    return float(max(line.size for line in large))


def _outer_box(form: Any, *_: Any) -> Any:
    return _piece("pdf.bounds", "clipped_bounds")(form)


def _plain_key(self: Any, key: str) -> Any:
    return self.targets.get(key.strip())


def _no_dialect(_preamble: str) -> Any:
    return _piece("latex.dialects", "Dialect")()


def _plain_names(_preamble: str) -> Any:
    return _piece("latex.references", "Names")()


def _unread_package(self: Any, lexeme: str) -> None:
    option, names = self.stream.option(), self.stream.argument()
    self._emit(lexeme, *(["[", *option, "]"] if option else []), "{", *names, "}")


def _unset(self: Any, lexeme: str) -> None:
    """The arguments of a setting that does not count go with it."""
    for _ in range(_piece("latex.expand", "_SETTINGS")[lexeme]):
        self.stream.argument()


def _forgetting_environments(before: Callable[..., None]) -> Callable[..., None]:
    def read(self: Any, *args: Any, **options: Any) -> None:
        before(self, *args, **options)
        self.environments.clear()

    return read


def _raw_maths(tokens: Any, *_: Any) -> str:
    return "".join(tokens)


def _no_equations(_text: str, start: int, *_: Any) -> tuple[int, dict[str, Any]]:
    return start, {}


def _first_branch(before: Callable[..., bool]) -> Callable[..., bool]:
    """Every test holds; what it compares is still taken out of the text."""

    def test(self: Any, lexeme: str) -> bool:
        before(self, lexeme)
        return True

    return test


_CAPTIONS_ELSEWHERE = "|captionof|figcaption|tabcaption"

RULES = (
    Rule("page: sideways pages", "pdf.page:SIDEWAYS_SHARE", 9.0),
    Rule("page: captions tell the direction", "pdf.page:_begins_caption", _off(False)),
    Rule("page: an included drawing is what it shows", "pdf.pdfium:form_bounds", _outer_box),
    Rule("page: clip paths", "pdf.bounds:clip_paths pdf.pdfium:clip_paths", _off(())),
    Rule("lines: text drawn twice goes", "pdf.lines:drawn_once", _as_list),
    Rule("lines: margin line numbers go", "pdf.lines:without_line_numbers", _first),
    Rule("lines: scripts keep their line", "pdf.lines:_after_scripts", _off(False)),
    Rule("lines: roots and sums hang from their baseline", "pdf.lines:HANGING", frozenset()),
    Rule("lines: accents stand over letters", "pdf.lines:ACCENTS", frozenset()),
    Rule("lines: small print keeps apart", "pdf.lines:SMALL_PRINT", 0.0),
    Rule("lines: full size among many scripts", "pdf.lines:FULL_SHARE", 9.0),
    Rule("lines: labels set apart", "pdf.lines:LABEL_GAP", 1.7),
    Rule("lines: runs of one row merge", "pdf.lines:_merge_runs", _first),
    Rule("layout: running heads go", "pdf.read:running_heads", _off(frozenset())),
    Rule("layout: the paper's usual gutter", "pdf.read:usual_gutter", _off(0.0)),
    Rule("layout: columns", "pdf.read:gutters", _off(())),
    Rule("parts: labels in drawings are no running heads", "pdf.read:without_labels", _first),
    Rule("parts: labels beside drawings are none either", "pdf.parts:LABEL_REACH", 0.0),
    Rule("parts: repeated drawings are ornament", "pdf.read:repeated_boxes", _off(frozenset())),
    Rule("parts: figures drawn alike are no ornaments", "pdf.read:figures_alike", _off(frozenset())),
    Rule("parts: backgrounds and head rules", "pdf.parts:is_background pdf.alike:is_background", _off(False)),
    Rule("parts: rules are no figures", "pdf.parts:is_rule pdf.alike:is_rule", _off(False)),
    Rule("parts: frames around captions", "pdf.parts:_frames", _off(())),
    Rule("parts: sub-captions are no text", "pdf.parts:_is_sub_caption", _off(False)),
    Rule("parts: sub-captions over labels of axes", "pdf.parts:SUB_CAPTION_REACH", 16.0),
    Rule("parts: a paragraph's last line is text", "pdf.parts:_ends_paragraph", _off(False)),
    Rule("parts: headings are text", "pdf.parts:_is_heading", _off(False)),
    Rule("captions: prose after a label counts against it", "pdf.starts:PROSE_AFTER", NEVER),
    Rule("captions: lists of figures are none", "pdf.starts:_listed", _off(frozenset())),
    Rule("captions: the paper's usual form", "pdf.starts:_usual_forms", _off({})),
    Rule("captions: continued figures", "pdf.starts:_is_repeat", _off(False)),
    Rule("captions: captions of tables", "pdf.starts:_other_floats", _off(())),
    Rule("captions: running text resumes", "pdf.captions:_resumes", _off(False)),
    Rule("captions: more white parts the text", "pdf.captions:PARTED", 99.0),
    Rule("captions: parts are joined", "pdf.captions:join_parts", _as_tuple),
    Rule("captions: rests in the next column or page", "pdf.captions:_rests", _off(())),
    Rule("captions: whole where text follows below", "pdf.captions:_follows_below", _off(False)),
    Rule("captions: 'continued on the next page' goes", "pdf.captions:GOES_ON", NEVER),
    Rule(
        "words: hyphens by the paper's vocabulary",
        "pdf.captions:vocabulary pdf.paragraphs:vocabulary",
        _off(frozenset()),
    ),
    Rule("regions: text within reach belongs", "pdf.growth:TEXT_REACH", 0.0),
    Rule("regions: limit of growth by text", "pdf.growth:TEXT_GROWTH", (9999.0,) * 4),
    Rule("regions: tables are obstacles", "pdf.regions:table_boxes", _off(())),
    Rule("regions: tables of filled cells", "pdf.rooms:_boxed_table", _off(())),
    Rule("regions: wide drawings widen the room", "pdf.rooms:_crosses", _off(False)),
    Rule("regions: figures of text alone", "pdf.regions:_text_picture", _off(None)),
    Rule("regions: picture on the page before", "pdf.read:on_page_before", _off(None)),
    Rule("regions: fallback crop", "pdf.regions:_fallback", _off(None)),
    Rule("regions: cut pictures are doubted", "pdf.regions:DOUBT", 0.0),
    Rule("regions: width is shared by those who reach into it", "pdf.rooms:SHARED", -9999.0),
    Rule("regions: ink decides where drawings spill", "pdf.read:ink_box", _off(None)),
    Rule("regions: letters at the edge of a room", "pdf.regions:EDGE", 0.0),
    Rule("regions: smallest picture", "pdf.regions:MIN_PICTURE", 0.0),
    Rule("paragraphs: headings part", "pdf.paragraphs:_is_heading", _off(False)),
    Rule("paragraphs: go on after displayed maths", "pdf.paragraphs:_is_maths", _off(False)),
    Rule("paragraphs: joined over columns and pages", "pdf.paragraphs:_goes_on", _off(False)),
    Rule("front: kinds of article and journals are no title", "pdf.front:NO_TITLE", NEVER),
    Rule("front: titles smaller than the journal's name", "pdf.front:_title_size", _largest),
    Rule("front: structured abstract without its word", "pdf.front:PARTS", NEVER),
    Rule("front: structured abstracts go on", "pdf.front:STRUCTURED", NEVER),
    Rule("front: what ends an abstract", "pdf.front:AFTER_ABSTRACT", NEVER),
    Rule("front: lists of addresses are no abstract", "pdf.front:ADDRESS", NEVER),
    Rule("front: a section named summary", "pdf.front:SECTION_SUMMARY", NEVER),
    Rule("mentions: figures of other papers, before", "mentions:_FOREIGN_BEFORE", NEVER),
    Rule("mentions: figures of other papers, after", "mentions:_FOREIGN_AFTER", NEVER),
    Rule("mentions: figures of supplements, before", "mentions:_SUPPLEMENT_BEFORE", NEVER),
    Rule("mentions: figures of supplements, after", "mentions:_SUPPLEMENT_AFTER", NEVER),
    Rule("mentions: eLife's figure supplements", "mentions:_SUPPLEMENT_HERE", NEVER),
    Rule("mentions: labels of figure supplements", "mentions:_LABEL", Made(lambda before: _supplement().make(before))),
    Rule("mentions: remarks between numbers", "mentions:_MORE", Made(lambda before: _remark().make(before))),
    Rule(
        "mentions: schemes, charts and graphs",
        "mentions:_CITATION mentions:_MORE mentions:_LABEL",
        Made(lambda before: _other_kinds().make(before)),
    ),
    Rule("mentions: the number before its word", "mentions:_LABEL_AFTER", NEVER),
    Rule("mentions: ranges filled in", "mentions:_between", _off(())),
    Rule("mentions: further numbers", "mentions:_belongs", _off(False)),
    Rule("source: what 00README names", "latex.read:named_by_readme latex.sources:named_by_readme", _off([])),
    Rule("source: names of secondary files", "latex.sources:_SECONDARY", NEVER),
    Rule("source: names of main files", "latex.sources:_MAIN_NAMES", NEVER),
    Rule("source: classes of no papers", "latex.sources:_NO_PAPERS", frozenset()),
    Rule("source: labels of other documents", "latex.read:_external", _off({})),
    Rule("source: local packages are read", "latex.expand:Expander._package", _unread_package),
    Rule("source: settings in packages", "latex.expand:Expander._setting", _unset),
    Rule("source: preambles of included documents", "latex.expand:_body_of", _first),
    Rule("source: conditionals", "latex.conditionals:Conditionals.handle", _off(False)),
    Rule("source: tests of conditionals", "latex.conditionals:Conditionals._test", Made(_first_branch)),
    Rule("source: the paper's macros", "latex.definitions:Definitions._store", _off(None)),
    Rule(
        "source: the paper's environments", "latex.definitions:Definitions._environment", Made(_forgetting_environments)
    ),
    Rule("source: dialects of classes", "latex.counters:dialect_of", _no_dialect),
    Rule("source: chapters", "latex.counters:is_chaptered", _off(False)),
    Rule("source: \\appendix", "latex.counters:Counters.begin_appendix", _off(None)),
    Rule("source: \\restartappendixnumbering", "latex.counters:Counters.restart_in_appendix", _off(None)),
    Rule("source: the paper's own \\appendix", "latex.structure:_Walk._own_appendix", _off(0)),
    Rule("source: \\setcounter", "latex.settings:Setup._count", _off(None)),
    Rule("source: \\numberwithin", "latex.settings:Setup._within", _off(None)),
    Rule("source: \\thefigure and names", "latex.settings:Setup._format", _off(None)),
    Rule("source: \\newtheorem", "latex.settings:Setup._new_theorem", _off(None)),
    Rule("source: declared floats", "latex.settings:Setup._declare_float", _off(None)),
    Rule("source: \\crefname", "latex.references:Names.define", _off(None)),
    Rule("source: cleveref's options", "latex.references:Names.of_preamble", staticmethod(_plain_names)),
    Rule("source: figurename of the caption package", "latex.counters:_FIGURE_NAME", NEVER),
    Rule("source: 3(b) of the package subfigure", "latex.counters:_SUBFIGURE_PACKAGE", NEVER),
    Rule("source: environments besides figure", "latex.floats:FIGURES", frozenset(("figure",))),
    Rule("source: minipages part captions", "latex.structure:PANELS", frozenset()),
    Rule("source: environments of sub-figures", "latex.structure:SUB_ENVIRONMENTS", frozenset()),
    Rule("source: commands of sub-figures", "latex.structure:_Walk._sub_command", _off(0)),
    Rule("source: captions outside of floats", "latex.structure:EVENTS", _without(_CAPTIONS_ELSEWHERE)),
    Rule("source: labels behind such captions", "latex.scopes:Structure.just_closed_caption", _off(None)),
    Rule("source: \\ContinuedFloat", "latex.structure:EVENTS", _without("|ContinuedFloat")),
    Rule("source: captions that say continued", "latex.paper:_continues", _off(False)),
    Rule("source: type commands at a caption's head", "latex.paper:_CAPTION_HEAD", NEVER),
    Rule("source: figures cited by typed numbers", "latex.paper:_figures_by_number", _off(frozenset())),
    Rule("source: labels without their prefix", "latex.references:References.find", _plain_key),
    Rule("source: unknown commands ending in ref", "latex.references:References.has", _off(False)),
    Rule("source: cleveref shortens runs", "latex.references:_runs", _first),
    Rule("source: numbers of equations", "latex.structure:number_equations", _no_equations),
    Rule("source: numbers of items", "latex.lists:ItemLabels.step", _off(None)),
    Rule("source: numbers of listings", "latex.structure:listing_target", _off({})),
    Rule("source: headings and items part paragraphs", "latex.paragraphs:_mark_breaks", _first),
    Rule("source: environments within a paragraph", "latex.paragraphs:_INLINE", frozenset()),
    Rule("source: readable maths", "latex.prose:math_text", _raw_maths),
    Rule("source: citations become [cite]", "latex.prose:CITES", NEVER),
    Rule("source: arguments that print nothing", "latex.prose:DROPPED", {}),
    Rule(
        "source: footnotes leave the text", "latex.prose:_HANDLERS", _lacking("footnote", "footnotetext", "blfootnote")
    ),
    Rule("source: quantities with units", "latex.prose:_HANDLERS", Made(lambda before: _units().make(before))),
    Rule("source: chemistry", "latex.prose:_HANDLERS", _lacking("ce", "ch")),
    Rule("source: fractions in text", "latex.prose:_HANDLERS", _lacking("nicefrac", "sfrac", "unitfrac", "textfrac")),
    Rule("source: ions", "latex.prose:_HANDLERS", _lacking("ion")),
    Rule("source: a large first line is the title", "latex.frontmatter:_large_title", _off("")),
    Rule("source: \\abstract{…}", "latex.frontmatter:_ABSTRACT_COMMAND", NEVER),
    Rule("source: a section named abstract", "latex.frontmatter:_ABSTRACT_SECTION", NEVER),
    Rule("source: a line that says abstract", "latex.frontmatter:_ABSTRACT_HEAD", NEVER),
    Rule("join: pairs surest first", "join:PASSES", ((True, 0.0),)),
    Rule("join: broken captions give way", "agreement:is_broken", _off(False)),
)
