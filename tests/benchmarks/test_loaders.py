"""Loaders of each published format: made-up files, invalid files, and the real questions of MMLU-Pro."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from benchcoe_jobs.benchmarks import files
from benchcoe_jobs.benchmarks.bbh import BigBenchHard
from benchcoe_jobs.benchmarks.hellaswag import HellaSwag, cleaned
from benchcoe_jobs.benchmarks.mmlu_pro import MmluPro
from benchcoe_jobs.benchmarks.mmmu import Mmmu
from benchcoe_jobs.benchmarks.mmstar import MmStar
from benchcoe_jobs.benchmarks.scienceqa import ScienceQA
from benchcoe_jobs.benchmarks.winogrande import WinoGrande
from benchcoe_jobs.domain import Query, Result, Split
from benchcoe_jobs.errors import InputError, MissingError
from benchcoe_jobs.importers.published import mmlu_pro as archives

PNG = b"\x89PNG not really"
IMAGE = {"bytes": PNG, "path": "1.png"}

PRO = {
    "question_id": 70,
    "question": "Which?",
    "options": ["one", "two", "N/A"],
    "answer": "B",
    "answer_index": 1,
    "category": "math",
}
SWAG = {
    "ind": 4,
    "activity_label": "Baking",
    "ctx_a": "A cook [step] stirs.",
    "ctx_b": "she",
    "endings": ["bakes. [substeps]", "sleeps."],
    "split": "val",
    "label": "0",
}
WINO = {"sentence": "The _ fell.", "option1": "cup", "option2": "box", "answer": "2"}
MU = {
    "id": "validation_Art_Theory_7",
    "question": "<image 1> Which?",
    "options": "['one', \"two's\"]",
    "answer": "B",
    "question_type": "multiple-choice",
    "image_1": IMAGE,
    "image_2": None,
}
STAR = {"index": 0, "question": "Which?", "image": PNG, "answer": "A", "category": "math", "l2_category": "geometry"}
SCIENCE = {
    "question": "Which?",
    "choices": ["one", "two"],
    "answer": 1,
    "hint": "It is late.",
    "image": None,
    "subject": "natural science",
}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(list(rows)), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
    else:
        path.write_text(json.dumps(list(rows)))
    return path


@pytest.mark.parametrize("suffix", ["json", "jsonl", "parquet"])
def test_mmlu_pro(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "data" / f"test-00000-of-00001.{suffix}", PRO, PRO | {"question_id": 71, "question": "a\u2028b"})
    write(tmp_path / "data" / f"validation-00000-of-00001.{suffix}", PRO | {"cot_content": "A: Hm."})
    first, second = MmluPro().load(tmp_path)
    assert first == Query("70", "math", "Which?", ("one", "two"), "B")
    assert (second.key, second.text) == ("71", "a\u2028b")


def test_mmlu_pro_real_questions(mmlu_pro_files: list[Path], tmp_path: Path) -> None:
    """Loader and importer must make the same query from a row, because both store it."""
    [file] = [path for path in mmlu_pro_files if "mathstral" in path.name]
    with zipfile.ZipFile(file) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".json") and "__MACOSX" not in name]
        unpacked = Path(archive.extract(name, tmp_path))
    loaded = list(MmluPro().load(unpacked))
    assert len(loaded) == 12_032
    assert {query.subject for query in loaded} == set(MmluPro.subjects)
    assert loaded == [row.query for row in archives.read(file) if isinstance(row, Result)]


def test_hellaswag(tmp_path: Path) -> None:
    write(tmp_path / "hellaswag_val.jsonl", SWAG | {"label": 0}, SWAG | {"ind": 5, "ctx_b": ""})
    write(tmp_path / "hellaswag_test.jsonl", {key: value for key, value in SWAG.items() if key != "label"})
    first, second = HellaSwag().load(tmp_path)
    assert first == Query("val-4", "Baking", "Baking: A cook stirs. She", ("bakes. ", "sleeps."), "A")
    assert second.text == "Baking: A cook stirs."


def test_several_labelled_splits_are_not_changed(tmp_path: Path) -> None:
    write(tmp_path / "data" / "validation-00000-of-00001.parquet", SWAG)
    write(tmp_path / "data" / "train-00000-of-00001.parquet", SWAG | {"split": "train"})
    assert [(query.key, query.split) for query in HellaSwag().load(tmp_path)] == [
        ("train-4", Split.TRAIN),
        ("val-4", Split.VALIDATION),
    ]
    [alone] = HellaSwag().load(tmp_path / "data" / "validation-00000-of-00001.parquet")
    assert alone.split is None


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (" How to bake [title] Stir [step] it.  ", "How to bake. Stir it."),
        ("[header] Bake", " Bake"),
        ("a [b", "a [b"),
        ("a [b\nc] d", "a [b\nc] d"),
    ],
)
def test_hellaswag_preprocessing(text: str, clean: str) -> None:
    assert cleaned(text) == clean


def test_hellaswag_preprocessing_takes_linear_time() -> None:
    """The expression of the harness reads the rest of the line for each of these brackets, which takes minutes."""
    opened = "[" * 1_000_000
    assert cleaned(f"[a]{opened}\n{opened}]") == f"{opened}\n"


def test_winogrande(tmp_path: Path) -> None:
    write(tmp_path / "dev.jsonl", WINO | {"qID": "3QX-1"})
    write(tmp_path / "train_xl.jsonl", WINO | {"qID": "3QX-2", "answer": "1"})
    write(tmp_path / "train_l.jsonl", WINO | {"qID": "3QX-2", "answer": "1"})
    write(tmp_path / "test.jsonl", {"qID": "x", "sentence": "_", "option1": "a", "option2": "b"})
    first, second = WinoGrande().load(tmp_path)
    assert first == Query("3QX-1", "coreference", "The _ fell.", ("cup", "box"), "2", Split.VALIDATION)
    assert (second.key, second.answer, second.split) == ("3QX-2", "1", Split.TRAIN)


def test_winogrande_of_the_hub(tmp_path: Path) -> None:
    for size in ("winogrande_xl", "winogrande_debiased"):
        write(tmp_path / size / "validation-00000-of-00001.parquet", WINO, WINO | {"answer": "1"})
    assert [query.key for query in WinoGrande().load(tmp_path)] == ["validation-1", "validation-2"]


def test_mmmu(tmp_path: Path) -> None:
    several = MU | {"id": "validation_Math_1", "question_type": "open", "options": "[]", "answer": "['24/7', '3.43']"}
    write(tmp_path / "Art_Theory" / "validation-00000-of-00001.parquet", MU)
    write(tmp_path / "Art_Theory" / "dev-00000-of-00001.parquet", MU | {"id": "dev_Art_Theory_1"})
    write(tmp_path / "Math" / "validation-00000-of-00001.parquet", several)
    first, second = Mmmu().load(tmp_path)
    assert first == Query(
        "validation_Art_Theory_7", "Art_Theory", "<image 1> Which?", ("one", "two's"), "B", images=(PNG,)
    )
    assert (second.choices, second.answer) == ((), '["24/7", "3.43"]')
    assert Mmmu().score("It is 3.43", second).score == 1.0


def test_mmstar(tmp_path: Path) -> None:
    expected = Query("0", "math", "Which?", answer="A", images=(PNG,))
    assert list(MmStar().load(write(tmp_path / "mmstar.parquet", STAR))) == [expected]
    (tmp_path / "0.png").write_bytes(PNG)
    assert list(MmStar().load(write(tmp_path / "rows.jsonl", STAR | {"image": "0.png"}))) == [expected]


def test_scienceqa_of_the_hub(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        write(tmp_path / "data" / f"{split}-00000-of-00001.parquet", SCIENCE | {"image": IMAGE, "hint": ""})
    loaded = list(ScienceQA().load(tmp_path))
    assert [(query.key, query.split) for query in loaded] == [
        ("test-1", Split.TEST),
        ("train-1", Split.TRAIN),
        ("validation-1", Split.VALIDATION),
    ]
    assert loaded[0].text == "Which?"
    assert loaded[0].images == (PNG,)


def test_scienceqa_as_published(tmp_path: Path) -> None:
    problems = {
        "7": SCIENCE | {"split": "val", "image": "image.png"},
        "8": SCIENCE | {"split": "test", "answer": 0},
    }
    (tmp_path / "problems.json").write_text(json.dumps(problems))
    write(tmp_path / "pid_splits.json")
    image = tmp_path / "images" / "val" / "7" / "image.png"
    image.parent.mkdir(parents=True)
    image.write_bytes(PNG)
    first, second = ScienceQA().load(tmp_path)
    text = "Which?\nContext: It is late."
    assert first == Query("7", "natural science", text, ("one", "two"), "B", Split.VALIDATION, (PNG,))
    assert (second.answer, second.split, second.images) == ("A", Split.TEST, ())
    image.unlink()
    with pytest.raises(InputError, match=r"row 1: image: .*images/val/7/image.png: cannot be read: No such file"):
        list(ScienceQA().load(tmp_path))


@pytest.mark.parametrize("where", ["../secret.png", "/etc/hostname"])
def test_an_image_outside_the_folder_is_refused(tmp_path: Path, where: str) -> None:
    (tmp_path / "secret.png").write_bytes(PNG)
    with pytest.raises(InputError, match="outside the folder"):
        list(MmStar().load(write(tmp_path / "data" / "rows.json", STAR | {"image": where})))


@pytest.mark.parametrize(
    ("benchmark", "row", "reason"),
    [
        (MmluPro(), PRO | {"category": "magic"}, "row 1: category 'magic' is not one of biology"),
        (MmluPro(), PRO | {"answer": "C"}, "answer 'C' is not one of A, B"),
        (MmluPro(), PRO | {"answer": "AB"}, "answer 'AB' is not one of A, B"),
        (MmluPro(), PRO | {"options": list("abcdefghijkl"), "answer": "K"}, "answer 'K' is not one of A, B"),
        (MmluPro(), PRO | {"options": ["N/A", "N/A"]}, "answer 'B' is not one of"),
        (MmluPro(), PRO | {"options": "A B"}, "options is not a list of texts"),
        (MmluPro(), PRO | {"options": ["a", 1]}, "options is not text"),
        (MmluPro(), PRO | {"question": ""}, "question is empty"),
        (MmluPro(), PRO | {"question": "a\0"}, "question has a character that cannot be stored"),
        (MmluPro(), PRO | {"question": "a\ud800"}, "question has a character that cannot be stored"),
        (HellaSwag(), SWAG | {"label": ""}, "label is empty"),
        (HellaSwag(), SWAG | {"label": "2"}, "label '2' is not one of 0, 1"),
        (HellaSwag(), SWAG | {"endings": list(map(str, range(30))), "label": "26"}, "label '26' is not one of 0, 1"),
        (ScienceQA(), SCIENCE | {"choices": list(map(str, range(30))), "answer": 26}, "answer '26' is not one of 0, 1"),
        (Mmmu(), MU | {"answer": "AB"}, "answer 'AB' is not one of the options"),
        (WinoGrande(), WINO | {"sentence": "No blank."}, "sentence has no blank"),
        (WinoGrande(), {"sentence": "_", "option1": "a", "option2": "b"}, "answer is missing"),
        (Mmmu(), MU | {"id": "test_Magic_1"}, "names no subject"),
        (Mmmu(), MU | {"answer": "C"}, "answer 'C' is not one of the options"),
        (Mmmu(), MU | {"image_1": 5}, "image_1: it is neither bytes nor the path of a file"),
        (MmStar(), STAR | {"image": None}, "image is missing"),
        (ScienceQA(), SCIENCE | {"split": "dev2"}, "unknown split 'dev2'"),
        (BigBenchHard(), {"input": "a?"}, "'rows' is not a task"),
    ],
)
def test_the_error_of_a_bad_row_names_it(tmp_path: Path, benchmark: Any, row: dict[str, Any], reason: str) -> None:
    row = {key: None if isinstance(value, bytes | dict) else value for key, value in row.items()}
    with pytest.raises(InputError, match=reason):
        list(benchmark.load(write(tmp_path / "rows.json", row)))


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (["n.b.", "N/A", "c.f.", "d"], ("n.b.", "N/A", "c.f.", "d")),
        (["N/A", "b", "N/A", "N/A"], ("N/A", "b")),
        (["a", "b"], ("a", "b")),
    ],
)
def test_only_padding_at_the_end_is_cut(tmp_path: Path, options: list[str], kept: tuple[str, ...]) -> None:
    [query] = MmluPro().load(write(tmp_path / "test.jsonl", PRO | {"options": options, "answer": "B"}))
    assert (query.choices, query.answer) == (kept, "B")


def test_parquet_columns_that_cannot_be_python_objects_are_left_out(tmp_path: Path) -> None:
    far = pa.array([2**62], pa.timestamp("us", tz="Nowhere/Land"))
    table = (
        pa.Table.from_pylist([PRO])
        .append_column("added", far)
        .append_column("times", pa.array([[1]], pa.list_(far.type)))
    )
    parquet.write_table(table, tmp_path / "test.parquet")
    [query] = MmluPro().load(tmp_path)
    assert query.key == str(PRO["question_id"])


def test_a_parquet_file_of_too_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_ROWS", 1)
    parquet.write_table(pa.Table.from_pylist([PRO, PRO]), tmp_path / "test.parquet")
    with pytest.raises(InputError, match="it has 2 rows; 1 are allowed"):
        list(MmluPro().load(tmp_path))


def test_an_image_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(InputError, match="cannot be read: it is not a regular file but a pipe"):
        list(MmStar().load(write(tmp_path / "rows.json", STAR | {"image": "a.png"})))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.json", b"{", "not JSON"),
        ("a.json", b"[" * 100_000, "not JSON"),
        ("a.json", b"3", "neither a list"),
        ("a.json", b"[3]", "row 1: not an object"),
        ("a.json", b"[]", "it has no question"),
        ("a.json", b"\xff", "not UTF-8 at byte 0"),
        ("a.jsonl", b'\n{"a"', "line 2: not JSON"),
        ("a.parquet", b"PAR1", "not valid Parquet"),
        ("a.csv", b"a,b", "must be one of .parquet, .jsonl, .json"),
    ],
)
def test_the_error_of_a_bad_file_names_it(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=reason):
        list(MmluPro().load(tmp_path / name))


def test_a_folder_without_the_file(tmp_path: Path) -> None:
    write(tmp_path / "train.json", PRO)
    with pytest.raises(InputError, match=r"no \.parquet, \.jsonl, \.json file named after test"):
        list(MmluPro().load(tmp_path))
    with pytest.raises(InputError, match="no such file or folder"):
        list(MmluPro().load(tmp_path / "nowhere"))


def test_the_same_key_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two questions have the key '70'"):
        list(MmluPro().load(write(tmp_path / "rows.json", PRO, PRO)))


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "rows.parquet", PRO)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingError, match=r"pip install 'benchcoe-jobs\[tables\]'"):
        list(MmluPro().load(path))


def test_images_are_part_of_the_content_hash() -> None:
    bare = Query("1", "math", "Which?", ("one", "two"), "A")
    # The hash from before queries had images: stored queries must still be found by it.
    assert bare.content_hash == "f36eb19785e04574af6a8d71121ef62326b41b619be6c54cf2e66d1754571c58"
    hashes = {
        Query("1", "math", "Which?", ("one", "two"), "A", images=images).content_hash
        for images in [(), (PNG,), (PNG, PNG), (b"",), (b"", PNG)]
    }
    assert len(hashes) == 5
