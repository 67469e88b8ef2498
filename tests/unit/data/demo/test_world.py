"""The world follows from (seed, number) alone, is balanced, and its truth is what is drawn."""

from collections import Counter

import numpy as np
import pytest

from expressway.core.errors import ManifestError
from expressway.data.demo import world
from expressway.data.demo.lessons import pupil
from expressway.data.demo.units import COMPOUNDS, EMOTIONS, INDEX, PROTOTYPES, UNITS

SEED = 5


def test_a_clip_follows_from_seed_and_number() -> None:
    first, again = world.performance(SEED, 17), world.performance(SEED, 17)
    assert first.identity == again.identity
    np.testing.assert_array_equal(first.script.sides, again.script.sides)
    np.testing.assert_array_equal(first.scene.backdrop, again.scene.backdrop)
    other = world.performance(SEED + 1, 17)
    assert first.identity != other.identity


def test_kinds_and_subjects_are_balanced_in_every_block() -> None:
    kinds = Counter(world.kind_of(SEED, number) for number in range(46))
    assert {kinds[name] for name in EMOTIONS} == {5}
    assert {kinds[name] for name in COMPOUNDS} == {1}
    assert sorted(world.subject_of(SEED, number) for number in range(48)) == list(range(48))


def test_every_emotion_is_seen_in_the_test_part_of_every_fold() -> None:
    seen = {
        (world.fold_of(world.subject_of(SEED, number)), world.kind_of(SEED, number))
        for number in range(440)
    }
    assert all((fold, name) in seen for fold in range(1, 6) for name in EMOTIONS)


def test_clips_last_one_to_two_seconds_and_come_and_go() -> None:
    for number in range(30):
        script = world.performance(SEED, number).script
        assert 25 <= len(script) <= 50
        assert script.truth.min() >= 0.0
        assert script.truth.max() <= 1.0


@pytest.mark.parametrize("kind", ["happiness", "surprise"])
def test_the_apex_lies_inside_the_clip_and_shows_the_prototype(kind: str) -> None:
    number = next(n for n in range(200) if world.kind_of(SEED, n) == kind)
    shown = world.performance(SEED, number)
    units = [INDEX[unit] for unit in PROTOTYPES[kind].core if shown.expression.units[INDEX[unit]]]
    course = (shown.script.truth[:, units]).mean(axis=1)
    peak = int(course.argmax())
    assert 0 < peak < len(course) - 1
    # Two thirds of the apex must come and go; speech may keep a mouth unit up at either end.
    assert course[peak] > 2.0 * course[0]


def test_one_sided_expressions_are_one_sided() -> None:
    number = next(n for n in range(200) if world.kind_of(SEED, n) == "contempt")
    sides = world.performance(SEED, number).expression.sides[:, INDEX[14]]
    assert sides.min() < 0.2
    assert sides.max() == 1.0


def test_strong_people_move_more() -> None:
    def peak(number: int) -> float:
        return float(world.performance(SEED, number).expression.units.sum())

    shown = [n for n in range(240) if world.kind_of(SEED, n) in ("happiness", "fear", "surprise")]
    tendency = [world.expressivity_of(SEED, world.subject_of(SEED, n)) for n in shown]
    assert np.corrcoef(tendency, [peak(n) for n in shown])[0, 1] > 0.4


def test_the_backbone_learns_from_other_people() -> None:
    actors = [world.identity_of(SEED, subject) for subject in range(world.SUBJECTS)]
    pupils = [pupil(SEED, person) for person in range(200)]
    stills = [world.still(SEED, number).identity for number in range(20)]
    shapes = [tuple(person.shape.values()) for person in actors + pupils + stills]
    assert len(set(shapes)) == len(shapes)


def test_ids_of_other_data_are_refused() -> None:
    assert world.number_of("demo-00012") == ("demo", 12)
    with pytest.raises(ManifestError, match="no clip of a demo world"):
        world.number_of("holiday-1")


def test_units_are_the_seventeen_of_the_world() -> None:
    assert UNITS == (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 43)
