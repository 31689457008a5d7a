from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from support.plain_losses import moments, unit
from support.small_training import small

from revalexo_clip.config.loading import load_experiment
from revalexo_clip.core.component import describe
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.losses import InfoNCE, Loss, SelfContrast, SigLIP, Sum, TemporalContrast, Term
from revalexo_clip.losses.terms import kinds_read

EXPERIMENT = """
from pathlib import Path

from revalexo_clip import (
    X3D, Dataset, DeepConvLSTM, ImuEncoder, InfoNCE, Loss, PretrainExperiment, RevalExo, SigLIP, Sum, Term, VideoEncoder
)

class Terms(PretrainExperiment):
    data: Dataset = RevalExo(root=Path("dataset"), train_subjects=("01",), val_subjects=("08",))
    imu: ImuEncoder = DeepConvLSTM()
    video: VideoEncoder = X3D()
    loss: Loss = Sum(
        terms={
            "aligned": Term(InfoNCE(temperature=0.2, on="tokens"), weight=1.0),
            "pooled": Term(InfoNCE()),
            "sigmoid": Term(loss=SigLIP(), weight=0.1),
        }
    )
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    """An experiment file whose loss is a sum of terms."""
    (tmp_path / "terms.py").write_text(EXPERIMENT)
    return str(tmp_path / "terms.py:Terms")


def terms_of(loss: Loss) -> dict[str, Term]:
    assert isinstance(loss, Sum)
    return loss.terms


def test_terms_are_changed_and_removed_from_the_command_line(file: str) -> None:
    set_to = ("loss.terms.aligned.weight=0.5", "loss.terms.aligned.loss.temperature=0.3", "loss.terms.sigmoid=none")
    terms = terms_of(load_experiment(file, set_to).loss)
    assert terms == {"aligned": Term(InfoNCE(temperature=0.3, on="tokens"), weight=0.5), "pooled": Term(InfoNCE())}


def test_the_loss_of_a_term_can_be_another_one(file: str) -> None:
    terms = terms_of(load_experiment(file, ["loss.terms.pooled.loss.type=SigLIP"]).loss)
    assert terms["pooled"] == Term(SigLIP())


def test_a_sum_can_be_written_on_the_command_line(written: Path) -> None:
    json = '{"near": {"loss": {"type": "InfoNCE"}, "weight": 2}}'
    experiment = small(written, "loss.type=Sum", f"loss.terms={json}")
    assert terms_of(experiment.loss) == {"near": Term(InfoNCE(), weight=2)}
    assert type(experiment).from_json(experiment.to_json()) == experiment


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loss.terms.alined.weight=0.5", "unknown field 'alined'; did you mean 'aligned'?"),
        ("loss.terms.aligned.weigth=0.5", "loss.terms.aligned.weigth: unknown field; did you mean 'weight'?"),
        ("loss.terms.aligned.weight=-1", "loss.terms.aligned.weight: Input should be greater than or equal to 0"),
        ("loss.terms.aligned.loss.on=frames", "loss.terms.aligned.loss.on: Input should be 'pooled' or 'tokens'"),
    ],
)
def test_mistakes_are_named_with_their_path(file: str, override: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_experiment(file, [override])
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({}, "terms: Dictionary should have at least 1 item"),
        ({"a b": Term(InfoNCE())}, "terms: String should match pattern"),
        ({"keys": Term(InfoNCE())}, "terms: 'keys' cannot be the name of a term"),
        ({"near": {"weight": 1}}, "terms.near.loss: Field required"),
    ],
)
def test_names_and_terms_are_checked(terms: object, message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Sum.model_validate({"terms": terms})
    assert message in describe(raised.value)


def test_terms_have_their_own_parameters_names_and_vectors() -> None:
    inner = Sum(terms={"imu": Term(SelfContrast(temperature=0.3), weight=0.5)})
    terms = {"aligned": Term(InfoNCE(on="tokens")), "self": Term(inner, 0.2), "pooled": Term(SigLIP(), 3)}
    loss = Sum(terms=terms | {"recording": Term(TemporalContrast(temperature=0.4), 0)}).build()
    assert {name: weight for name, (weight, _) in loss.terms().items()} == {
        "aligned": 1,
        "self/imu": pytest.approx(0.1),
        "pooled": 3,
        "recording": 0,
    }
    assert kinds_read(loss) == ("imu_tokens", "video_tokens", "imu", "imu_second", "video")
    temperatures = {name: term.temperature.item() for name, (_, term) in loss.terms().items()}
    assert temperatures == pytest.approx({"aligned": 0.1, "self/imu": 0.3, "pooled": 0.1, "recording": 0.4})
    assert len(list(loss.parameters())) == 5, "four temperatures and a bias"
    assert loss.temperature.item() == pytest.approx(0.9 / 4)


def test_the_chance_of_a_sum_is_the_weighted_sum_of_the_terms() -> None:
    overlap = moments(9)
    chance = InfoNCE().build().chance(overlap)
    loss = Sum(terms={"one": Term(InfoNCE(), 0.5), "other": Term(InfoNCE(label_smoothing=0.1), 2)}).build()
    assert chance is not None
    torch.testing.assert_close(loss.chance(overlap), 2.5 * chance)
    same_ND = unit(1, 3, seed=1).expand(9, 3)
    torch.testing.assert_close(loss.double()(same_ND, same_ND, overlap), 2.5 * chance.double(), rtol=1e-6, atol=0)
    without = Sum(terms={"one": Term(InfoNCE(), 0.5), "sigmoid": Term(SigLIP())}).build()
    assert without.chance(overlap) is None
    recording = Sum(terms={"one": Term(InfoNCE(), 0.5), "recording": Term(TemporalContrast(), 2)}).build()
    within = TemporalContrast().build().chance(overlap)
    assert within is not None
    torch.testing.assert_close(recording.chance(overlap), 0.5 * chance + 2 * within)
    ignored = Sum(terms={"one": Term(InfoNCE()), "sigmoid": Term(SigLIP(), weight=0)}).build()
    torch.testing.assert_close(ignored.chance(overlap), chance)


def test_terms_that_compare_different_vectors_cannot_be_computed_from_one_pair() -> None:
    loss = Sum(terms={"aligned": Term(InfoNCE(on="tokens")), "pooled": Term(InfoNCE())}).build()
    with pytest.raises(ValueError, match="compare different vectors"):
        loss(unit(3, 2, seed=1), unit(3, 2, seed=2))
