"""Tests that the table of docs/models.md is written from measured rows, and continues after an interruption."""

import json

import pytest
from promptseg_export import table

BENCH = {"precision": "int8", "load_ms": 10.0, "encode_ms": 1234.6, "decode_ms": 45.4, "peak_rss_mb": 678.9}
PARITY = {"low_res": 0.0123, "iou": 4.5e-4, "mask_iou": 0.98765}
INT8 = {"precision": "int8", "encoder": "image_encoder.int8.onnx", "decoder": "mask_decoder.onnx", "parity": PARITY}
FILES = {
    "image_encoder.onnx": {"bytes": 1_000_000},
    "image_encoder.onnx.data": {"bytes": 900_000_000},
    "image_encoder.int8.onnx": {"bytes": 250_000_000},
    "mask_decoder.onnx": {"bytes": 16_000_000},
    "prompt_encoder.safetensors": {"bytes": 0},
}


@pytest.fixture
def page(tmp_path):
    page = tmp_path / "models.md"
    page.write_text(f"# Models\n\n{table.BEGIN}\nold\n{table.END}\n\nbelow\n")
    return page


def run(page, *more):
    work = page.parent
    return table.main([str(page), "--results", str(work / "r.jsonl"), "--work", str(work / "w"), *more])


def test_the_size_counts_the_files_of_the_precision():
    assert table.row("sam", "vit_b", INT8, FILES, BENCH)["bytes"] == 266_000_000
    fp32 = {**INT8, "precision": "fp32", "encoder": "image_encoder.onnx"}
    assert table.row("sam", "vit_b", fp32, FILES, {**BENCH, "precision": "fp32"})["bytes"] == 917_000_000


def test_a_measurement_of_another_precision_is_an_error():
    with pytest.raises(RuntimeError, match="ran fp32, expected int8"):
        table.row("sam", "vit_b", INT8, FILES, {**BENCH, "precision": "fp32"})


def test_measured_models_are_not_measured_again(page, monkeypatch):
    measured = []

    def measure(family, model, promptseg, work, results, runs, log):
        measured.append((family, model))
        if (family, model) == ("sam", "vit_l"):
            raise RuntimeError("no memory")
        row = table.row(family, model, INT8, FILES, BENCH)
        results.add(row)
        results.add({**row, "complete": True})

    monkeypatch.setattr(table, "measure", measure)
    assert run(page, "--only", "sam/vit_b", "sam/vit_l") == 1
    assert measured == [("sam", "vit_b"), ("sam", "vit_l")]
    line = "| sam vit_b | int8 | 266 | 1e-02 | 4e-04 | 0.9877 | 1235 | 45 | 679 |\n"
    text = page.read_text()
    assert text == f"# Models\n\n{table.BEGIN}\n{table.HEAD}{line}{table.END}\n\nbelow\n"
    # An interrupted model, with a row but not complete, is measured again.
    with (page.parent / "r.jsonl").open("a") as file:
        file.write(json.dumps(table.row("sam", "vit_h", INT8, FILES, BENCH)) + "\n")
    measured.clear()
    assert run(page, "--only", "sam/vit_b", "sam/vit_h") == 0
    assert measured == [("sam", "vit_h")]


def test_rows_of_models_that_were_not_measured_stay(page, monkeypatch):
    def row(model, precision, ms):
        return f"| {model} | {precision} | 388 | 1e-06 | 1e-07 | 1.0000 | {ms} | 40 | 3736 |\n"

    old = row("sam vit_b", "fp32", 10416) + row("sam vit_b", "int8", 6875) + row("sam vit_l", "fp32", 30650)
    page.write_text(f"{table.BEGIN}\n{table.HEAD}{old}{table.END}\n")
    assert run(page, "--only") == 0
    assert page.read_text() == f"{table.BEGIN}\n{table.HEAD}{old}{table.END}\n"

    def measure(family, model, promptseg, work, results, runs, log):
        results.add({**table.row(family, model, INT8, FILES, BENCH), "complete": True})

    monkeypatch.setattr(table, "measure", measure)
    assert run(page, "--only", "sam/vit_b") == 0
    new = "| sam vit_b | int8 | 266 | 1e-02 | 4e-04 | 0.9877 | 1235 | 45 | 679 |\n" + row("sam vit_l", "fp32", 30650)
    assert page.read_text() == f"{table.BEGIN}\n{table.HEAD}{new}{table.END}\n"


def test_the_table_has_every_model_with_published_weights():
    names = [f"{family} {model}" for family, model in table.models()]
    assert {"sam vit_h", "sam-hq vit_tiny", "mobile-sam vit_tiny"} <= set(names)
    assert not [name for name in names if name.endswith(" small")]


def test_wrong_arguments_are_named(page, capsys):
    with pytest.raises(SystemExit):
        run(page, "--only", "sam/vit_x")
    assert "sam/vit_x: not of sam/vit_b" in capsys.readouterr().err
    page.write_text("no marks")
    with pytest.raises(SystemExit, match="between which the table is written"):
        run(page, "--only")
