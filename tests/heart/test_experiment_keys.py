"""Keys of an experiment's answers: what they depend on, and that they stay as they were."""

from noisescope_core.experiments import definition
from noisescope_core.experiments.definition import Experiment
from tests.experiment_files import PLAIN


def test_what_an_answer_depends_on_names_it():
    plain = Experiment.model_validate(PLAIN)
    changed = [
        Experiment.model_validate({**PLAIN, **changes})
        for changes in (
            {"seed": 1},
            {"side": 65},
            {"side": "native"},
            {"settings": ["residual.sigma=3"]},
            {"files": ["saved again"]},
            {"sets": {"made": "taken", "taken": "taken"}},
        )
    ]
    renamed = Experiment.model_validate({**PLAIN, "title": "another", "about": "text", "draws": 1})
    keys = [{each.key(case) for case in each.cases()} for each in (plain, *changed)]
    assert len(set.union(*keys)) == sum(map(len, keys))
    assert {renamed.key(case) for case in renamed.cases()} <= keys[0]


def test_only_a_method_whose_answers_have_changed_has_new_keys(monkeypatch):
    monkeypatch.setattr(definition, "__version__", "0.1.0")
    asked = {**PLAIN, "methods": ["paper", "whitened"], "draws": 1}
    experiment = Experiment.model_validate(asked)
    paper, whitened = experiment.cases()
    # As it was before methods had revisions: tables of earlier runs are gone on with.
    assert experiment.key(paper) == "511e303d4f0d958a"
    now = experiment.key(whitened)
    monkeypatch.setattr(definition, "METHOD_REVISIONS", {"whitened": 2})
    assert experiment.key(whitened) != now


def test_how_lattices_are_looked_at_matters_to_the_method_that_does():
    plain = {**PLAIN, "methods": ["paper", "whitened"], "draws": 1}
    changed = {**plain, "settings": ["lattice.undetermined=flag"]}
    (paper, whitened), (same, other) = (
        [each.key(case) for case in each.cases()]
        for each in map(Experiment.model_validate, (plain, changed))
    )
    assert paper == same
    assert whitened != other
