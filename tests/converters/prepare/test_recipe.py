"""The recipe: what is refused, where, and what is proposed instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.errors import RecipeError
from converters.prepare.pipeline import checked
from converters.prepare.recipe import (
    NearRecipe,
    read_recipe,
    recipe_hash,
    resolved,
)
from converters.recipe import SHIPPED, find_recipe
from tests.converters.prepare.small_data import PLAIN, write_recipe


def _error(folder: Path, text: str, *overrides: str) -> RecipeError:
    path = write_recipe(folder, text)
    with pytest.raises(RecipeError) as caught:
        checked(read_recipe(path, overrides, None), path)
    return caught.value


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("[steps.near]", "[steps.nera]", "line 8, steps.nera: there is no step 'nera'", "near?"),
        ("[steps.near]", "[steps.near]\nthreshhold = 1", "no key threshhold", "threshold?"),
        ("[steps.near]", '[steps.near]\nthreshold = "x"', "threshold: Expected `float`", "Correct"),
        ("[steps.normalise]", "[steps.normalize]", "line 6", "Did you mean normalise?"),
        ('kind = "posts"', 'kind = "post"', "line 3, source 1: there is no source 'post'", "posts"),
        ('kind = "posts"', 'kind = "posts"\npaht = "x"', "there is no key paht", "mean path?"),
        ('kind = "posts"', 'kind = "posts"\nsplit = "dev"', "there is no split 'dev'", "train"),
        ('kind = "posts"', 'kind = "posts"\ncomments = "all"', "Invalid enum value", "Correct"),
        ('kind = "posts"', "", "it has no kind", "prosocial"),
        ('name = "plain"', 'name = "../plain"', "not fit for a folder", "letters"),
        ('name = "plain"', 'nane = "plain"', "there is no key nane", "name?"),
        ('name = "plain"', 'name = "plain"\nbad_rows = "skip"', "bad_rows", "drop, fail"),
    ],
)
def test_a_wrong_recipe_is_refused_with_place_and_nearest_name(
    tmp_path: Path, old: str, new: str, message: str, hint: str
) -> None:
    error = _error(tmp_path, PLAIN.replace(old, new))
    assert message in error.message
    assert "recipe.toml" in error.message
    assert hint in error.hint


def test_row_steps_must_stand_before_steps_that_see_all_records(tmp_path: Path) -> None:
    error = _error(tmp_path, PLAIN + "[steps.length]\n")
    assert "line 9, steps.length: stands behind near" in error.message


def test_shares_must_add_up_to_one(tmp_path: Path) -> None:
    error = _error(tmp_path, PLAIN, "split.test=0.5")
    assert "the shares are 0.9, 0.05, 0.5" in error.message


def test_a_recipe_without_sources_is_refused(tmp_path: Path) -> None:
    assert "has no source" in _error(tmp_path, 'name = "empty"\n').message


def test_overrides_change_the_recipe_and_its_hash(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, PLAIN)
    plain = read_recipe(path, [], None)
    changed = read_recipe(path, ["steps.near.threshold=0.5", "split.salt=other"], None)
    assert changed.split.salt == "other"
    near = checked(changed, path).settings("near", NearRecipe)
    assert near == NearRecipe(threshold=0.5)
    assert recipe_hash(plain) != recipe_hash(changed)


def test_where_files_lie_is_no_part_of_the_hash(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, PLAIN)
    here = read_recipe(path, [f"paths.posts={tmp_path}"], tmp_path)
    assert recipe_hash(here) == recipe_hash(read_recipe(path, [], None))
    assert str(tmp_path) not in str(resolved(here))
    assert here.paths == {"posts": str(tmp_path), "data": str(tmp_path)}


def test_shipped_recipes_are_found_by_name_and_are_sound() -> None:
    names = {path.stem for path in SHIPPED.glob("*.toml")}
    assert {"guard", "reddit", "multilingual"} <= names
    for name in ("guard", "reddit", "multilingual"):
        path = find_recipe(name, "source")
        pipeline = checked(read_recipe(path, [], None), path)
        assert pipeline.recipe.name == name
        assert pipeline.sources


def test_an_unknown_name_proposes_a_shipped_recipe() -> None:
    with pytest.raises(RecipeError) as caught:
        find_recipe("gaurd", "source")
    assert "Did you mean guard?" in caught.value.hint
