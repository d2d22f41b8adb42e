"""Configuration: one page of defaults, every mistake at once, the right name suggested."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from noisescope_core.config import Config, load_config
from noisescope_core.errors import UsageError
from noisescope_core.methods import method_of
from noisescope_core.residual import FILTERS

DEFAULT = Path(__file__).parents[2] / "conf/default.yaml"


def test_the_page_of_defaults_is_the_defaults():
    written = yaml.safe_load(DEFAULT.read_text(encoding="utf-8"))
    assert written == Config().model_dump()
    assert load_config(str(DEFAULT)) == load_config() == Config()


def test_settings_override_the_file(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("calibration: {t_merge: 20, images: 10}\nseed: 3\n")
    config = load_config(str(file), ["calibration.t_merge=12.12", "texture.contamination=1e-3"])
    assert config.calibration.t_merge == 12.12
    assert config.calibration.images == 10
    assert config.texture.contamination == 1e-3
    assert config.seed == 3
    assert load_config(str(file), ["calibration.t_merge=null"]).calibration.t_merge is None


def test_spark_settings_keep_their_dots():
    config = load_config(None, ["spark.conf.spark.sql.shuffle.partitions=8"])
    assert config.spark.conf == {"spark.sql.shuffle.partitions": 8}


@pytest.mark.parametrize(
    "key",
    ["spark.hadoop.fs.s3a.secret.key", "spark.hadoop.fs.s3a.access.key",
     "spark.hadoop.fs.s3a.bucket.pile.session.token",
     "spark.hadoop.fs.azure.account.key.store.dfs.core.windows.net",
     "spark.hadoop.fs.azure.account.oauth2.client.secret", "spark.ssl.keyStorePassword"],
)  # fmt: skip
def test_credentials_are_no_settings_and_are_not_repeated(key, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(f"spark: {{conf: {{{key}: hush}}}}\n")
    for place in ((str(file), []), (None, [f"spark.conf.{key}=hush"])):
        with pytest.raises(UsageError, match="credentials belong in the environment") as error:
            load_config(*place)
        assert key in str(error.value) and "hush" not in str(error.value)
        assert len(str(error.value).splitlines()) == 1


def test_a_uri_with_a_password_is_no_setting_and_references_to_secrets_are():
    with pytest.raises(UsageError, match="credentials belong in the environment") as error:
        load_config(None, ["spark.conf.spark.hadoop.fs.defaultFS=s3a://who:hush@pile"])
    assert "hush" not in str(error.value)
    kept = {
        "spark.kubernetes.driver.secretKeyRef.NAME": "store:key",
        "spark.hadoop.fs.azure.account.keyprovider.store": "some.Class",
        "spark.hadoop.fs.s3a.endpoint": "http://store:9000",
    }
    config = load_config(None, [f"spark.conf.{key}={value}" for key, value in kept.items()])
    assert config.spark.conf == kept


def test_every_denoiser_can_be_set_and_no_other():
    for name in FILTERS:
        assert load_config(None, [f"residual.denoiser={name}"]).residual.denoiser == name
    with pytest.raises(UsageError, match=r"residual\.denoiser: input should be 'wavelet', 'blur'"):
        load_config(None, ["residual.denoiser=bm3d"])


def test_everything_wrong_is_said_at_once():
    with pytest.raises(UsageError) as error:
        load_config(
            None,
            ["t_merge=3", "calibraton.images=3", "residual.sigma=-1", "seed=x", "foo",
             "method=best", "clustering.exact=perhaps", "texture.imags=2"],
        )  # fmt: skip
    lines = str(error.value).splitlines()
    assert len(lines) == 9
    for part in (
        "t_merge: no such key, did you mean calibration.t_merge?",
        "calibraton: no such key, did you mean calibration?",
        "texture.imags: no such key, did you mean texture.images?",
        "residual.sigma: input should be greater than 0, got -1",
        "seed: input should be a valid integer",
        "--set foo: write KEY=VALUE",
        "method: input should be 'whitened' or 'paper', got 'best'",
        "clustering.exact: input should be a valid boolean",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a: [", "is not YAML"),
        ("seed: 2024-13-45", "is not YAML"),
        ("- 1", "must hold keys and values"),
        (None, "cannot be read"),
    ],
)
def test_unusable_files(tmp_path, content, reason):
    file = tmp_path / "mine.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=reason) as error:
        load_config(str(file))
    assert str(file) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("setting", ["seed=[1", "seed=2024-13-45", "calibration.t_merge.x=3", "=3"])
def test_settings_that_cannot_be_understood_are_quoted(setting):
    with pytest.raises(UsageError) as error:
        load_config(None, ["calibration.t_merge=12", setting])
    assert f"--set {setting}: " in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_mistakes_of_file_and_settings_are_told_together(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("detection: {percentil: 99}\nreport: {thumbnails: 2.5}\n1: 2\n")
    with pytest.raises(UsageError) as error:
        load_config(str(file), ["texture.shuffles=0"])
    for part in ("detection.percentil: no such key, did you mean detection.percentile?",
                 "report.thumbnails: ", "texture.shuffles: ", "1: "):  # fmt: skip
        assert any(line.strip().startswith(part) for line in str(error.value).splitlines()), part


@given(st.sampled_from(sorted(Config().calibration.model_dump())), st.data())
def test_one_letter_missing_still_finds_the_key(name, data):
    gone = data.draw(st.integers(1, len(name) - 1))
    wrong = name[:gone] + name[gone + 1 :]
    with pytest.raises(UsageError, match=rf"did you mean .*calibration\.{name}"):
        load_config(None, [f"calibration.{wrong}=3"])


def needed(*settings):
    config = load_config(None, settings)
    method = method_of(config)
    return method.least_images(config), method.least_reference(config)


def test_what_a_size_needs():
    assert needed() == (20, 60)
    assert needed("method=paper") == (51, 350)
    few = ("method=paper", "texture.neighbours=4", "texture.images=5")
    assert needed(*few)[1] == 40
    assert needed(*few, "calibration.t_merge=9")[1] == 5
