from collections import Counter
from pathlib import Path

from plimsoll.catalog import calibration, devices, measurements, models


def test_measurements_name_what_the_catalog_knows() -> None:
    rows = measurements.load()
    assert len(rows) > 5000
    assert {m.device for m in rows} - {""} <= set(devices.find_all())
    assert {m.model for m in rows} <= set(models.find_all())
    assert max(Counter(m.id for m in rows).values()) == 1
    assert all(m.source.startswith("https://") and m.value > 0 for m in rows)


def test_writing_and_reading_again_changes_nothing(tmp_path: Path) -> None:
    rows = measurements.load()[:50]
    measurements.write(rows, str(tmp_path))
    assert measurements.load(str(tmp_path)) == rows


def test_the_calibration_is_of_these_measurements(tmp_path: Path) -> None:
    import hashlib

    found = calibration.load()
    pairs = sorted((m.id, m.value) for m in measurements.load())
    assert found.measurements_digest == hashlib.sha256(repr(pairs).encode()).hexdigest()[:16], (
        "run: plimsoll calibrate"
    )
    (tmp_path / "speed.json").write_text(calibration.written(found))
    assert calibration.load(str(tmp_path / "speed.json")) == found


def test_measurements_of_several_requests_name_what_the_catalog_knows() -> None:
    rows = measurements.load_serving()
    assert len(rows) > 1500
    assert {m.device for m in rows} - {""} <= set(devices.find_all())
    assert {m.model for m in rows} <= set(models.find_all())
    assert max(Counter(m.id for m in rows).values()) == 1
    assert all(m.prompt_tokens and m.client and m.value > 0 for m in rows)


def test_writing_and_reading_rows_of_several_requests_changes_nothing(tmp_path: Path) -> None:
    rows = measurements.load_serving()[:50]
    measurements.write(rows, str(tmp_path))
    assert measurements.load_serving(str(tmp_path)) == rows


def test_the_serving_calibration_is_of_these_measurements() -> None:
    import hashlib

    found = calibration.load(calibration.SERVING_PATH)
    pairs = sorted((m.id, m.value) for m in measurements.load_serving())
    assert found.measurements_digest == hashlib.sha256(repr(pairs).encode()).hexdigest()[:16], (
        "run: plimsoll calibrate --several"
    )
