"""Wide tables: RouterBench, RouteLLM and SPROUT."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from imported import imported, notes, reasons, results, scores
from pyarrow import parquet

from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.collections.routerbench import ROUTERBENCH
from benchcoe_jobs.importers.source import Source

HEADER = "sample_id,prompt,eval_name,x,y,x|model_response,y|model_response,x|total_cost,y|total_cost,oracle\n"


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_texts_in_python_syntax_fractions_and_costs(tmp_path: Path) -> None:
    row = """q1,"['How many?', ""It's odd""]",maths,0.25,1.0,['four'],plain,0.002,0.0001,y\n"""
    path = written(tmp_path / "routerbench_0shot.csv", HEADER + row)
    x, y = results(items := imported("routerbench", path))
    assert (x.benchmark, x.query.key, x.query.subject) == ("routerbench_0shot", "q1", "maths")
    assert x.query.text == "How many?\nIt's odd"
    assert (x.expert, x.score, x.text, x.cost) == ("x", 0.25, "four", 0.002)
    assert (y.expert, y.score, y.text, y.cost) == ("y", 1.0, "plain", 0.0001)
    assert notes(items) == ["passed over, because they have no scores of a model: 'oracle'"]


def test_a_model_without_a_score_is_skipped_alone(tmp_path: Path) -> None:
    path = written(tmp_path / "wide.csv", HEADER + "q1,How?,maths,,1.0,,,,,y\n")
    items = imported("routerbench", path)
    assert scores(items) == {"y": [1.0]}
    assert reasons(items) == ["'x': score is empty"]


def test_true_and_false_per_model_and_a_question_that_occurs_twice(tmp_path: Path) -> None:
    text = "prompt,org/strong,org/weak\nWhich?,True,False\nWhat?,True,True\nWhich?,False,False\n"
    items = imported("routerbench", written(tmp_path / "mmlu_law.csv", text))
    assert scores(items) == {"org/strong": [1.0, 1.0], "org/weak": [0.0, 1.0]}
    assert {(row.benchmark, row.query.subject) for row in results(items)} == {("mmlu", "law")}
    assert len(reasons(items)) == 1
    assert reasons(items)[0].startswith("it repeats an earlier row (row 4 repeats row 2: question ")


def test_responses_beside_true_and_false(tmp_path: Path) -> None:
    text = "prompt,x,y,x_response,y_response\n2+2?,True,False,four,five\n"
    x, y = results(imported("routerbench", written(tmp_path / "gsm8k_responses.csv", text)))
    assert (x.benchmark, x.expert, x.score, x.text) == ("gsm8k", "x", 1.0, "four")
    assert (y.expert, y.score, y.text) == ("y", 0.0, "five")


def test_a_structure_per_model(tmp_path: Path) -> None:
    answer = {"num_input_tokens": 3, "num_output_tokens": 5, "response": "four", "score": 1.0}
    row = {"key": "k1", "dataset": "gsm8k", "dataset level": "all", "prompt": "2+2?", "golden_answer": "4", "m": answer}
    parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "test-00000-of-00001.parquet")
    [found] = results(imported("routerbench", tmp_path / "test-00000-of-00001.parquet"))
    assert (found.benchmark, found.query.key, found.query.subject) == ("sprout", "k1", "gsm8k")
    assert (found.query.answer, found.expert, found.score, found.text) == ("4", "m", 1.0, "four")
    assert (found.prompt_tokens, found.completion_tokens) == (3, 5)
    other = imported("routerbench", tmp_path / "test-00000-of-00001.parquet", subject_from="dataset level")
    assert results(other)[0].query.subject == "all"


@pytest.mark.parametrize(
    "text",
    [
        "prompt,response,correct,seconds\nWhich?,A,1,0.5\n",
        "prompt,model,score,cost\nWhich?,m,1,0.5\n",
        "prompt,correct\nWhich?,1\n",
        "question,x,y\nWhich?,1,0\n",
    ],
    ids=["texts", "a row per model", "one column of scores", "no prompt"],
)
def test_other_tables_are_not_taken_for_wide_ones(tmp_path: Path, text: str) -> None:
    assert ROUTERBENCH.recognise(Source(written(tmp_path / "t.csv", text))) is None


def test_a_score_on_another_scale_refuses_the_file(tmp_path: Path) -> None:
    path = written(tmp_path / "wide.csv", HEADER + "q1,How?,maths,0.5,61.2,,,,,y\n")
    with pytest.raises(InputError, match=r"row 2, column 'y': score '61.2' .* --scale percent"):
        imported("routerbench", path)


def test_a_subject_from_a_column_that_is_not_there(tmp_path: Path) -> None:
    path = written(tmp_path / "wide.csv", HEADER + "q1,How?,maths,0.5,1,,,,,y\n")
    with pytest.raises(InputError, match="it has no 'topic', which --subject-from names, but 'sample_id'"):
        imported("routerbench", path, subject_from="topic")
