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
    # As they were before methods had revisions: tables of earlier runs are gone on with.
    before = {"paper": "511e303d4f0d958a", "whitened": "1962986f5a7abc2a"}
    assert experiment.key(paper) == before["paper"]
    assert experiment.key(whitened) != before["whitened"]
    monkeypatch.setattr(definition, "METHOD_REVISIONS", {})
    assert experiment.key(whitened) == before["whitened"]
