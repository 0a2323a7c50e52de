"""``check_plugin`` is a test with a case for each property, which fails, is skipped or passes as the kit has found."""

import pytest
from plugins import faulty_defenses

from bench.plugin import Plugin
from bench.testing import Property, check_plugin, properties_of, subject_of

AN_AUTHORS_TEST = check_plugin(faulty_defenses.Sound)


def case(of: type[Plugin] | Plugin, name: str) -> None:
    [one] = [one for one in properties_of("defense") if one.name == name]
    check_plugin(of)(one)


def test_there_is_a_case_for_each_property_named_after_it():
    [mark] = AN_AUTHORS_TEST.pytestmark
    names = [mark.kwargs["ids"](one) for one in mark.args[1]]
    assert names == [one.name for one in properties_of("defense")]
    assert len(set(names)) == len(names)
    assert all(isinstance(one, Property) and one.expected for one in mark.args[1])


def test_a_property_that_is_missing_fails_in_one_line_that_names_it():
    with pytest.raises(pytest.fail.Exception, match=r"^defense sound: printing: found '.*'; expected nothing printed"):
        case(faulty_defenses.Chatty, "printing")


def test_a_property_that_says_nothing_of_a_plugin_is_skipped_with_the_reason():
    with pytest.raises(pytest.skip.Exception, match="repaired: not applicable: it is no repair"):
        case(faulty_defenses.Sound, "repaired")


def test_the_parameters_of_a_plugin_are_those_that_it_is_examined_with():
    assert subject_of(faulty_defenses.Sound(sharpness=2.0)).quick == faulty_defenses.Sound(sharpness=2.0)
    assert subject_of(faulty_defenses.Sound).quick == faulty_defenses.Sound()


def test_what_is_no_plugin_is_refused():
    with pytest.raises(TypeError, match="expected a plugin"):
        check_plugin(object)  # type: ignore[type-var]
