"""The published router: a sequence classifier of transformers that pads every question to 512 tokens, in float32.

Longer questions are cut at their end. It is trained in batches of 16 with AdamW at 2e-5, and predicts one question at a
time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from harness import result_files
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from benchcoe_jobs.domain import RouterInput, SkippedRow
from benchcoe_jobs.importers.published import mmlu_pro
from benchcoe_jobs.store.results.catalog import Question

WINDOW, ROWS_AT_ONCE, RATE = 512, 16, 2e-5


class Published:
    """Predicts which of `subjects` a question belongs to."""

    def __init__(self, folder: str, subjects: Sequence[str]) -> None:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        torch.manual_seed(0)
        self.subjects = list(subjects)
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(subjects))

    def train(self, questions: Sequence[RouterInput], subjects: Sequence[str], epochs: int) -> None:
        batches = self._read(questions)
        labels = torch.tensor([self.subjects.index(subject) for subject in subjects])
        optimizer = torch.optim.AdamW(self._model.parameters(), lr=RATE)
        self._model.train()
        for _ in range(epochs):
            for rows in torch.randperm(len(questions)).split(ROWS_AT_ONCE):
                loss = self._model(**{name: part[rows] for name, part in batches.items()}, labels=labels[rows]).loss
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def route(self, question: RouterInput) -> str:
        """The subject of one question."""
        self._model.eval()
        with torch.no_grad():
            return self.subjects[int(self._model(**self._read([question])).logits.argmax())]

    def predict(self, questions: Sequence[RouterInput]) -> NDArray[np.str_]:
        """The predictions of `route` for many questions, without padding, which does not change them."""
        self._model.eval()
        with torch.no_grad():
            read = [
                self._tokenizer(q.whole, truncation=True, max_length=WINDOW, return_tensors="pt") for q in questions
            ]
            said = [int(self._model(**one).logits.argmax()) for one in read]
        return np.array(self.subjects)[said]

    def _read(self, questions: Sequence[RouterInput]) -> dict[str, Any]:
        texts = [question.whole for question in questions]
        return dict(
            self._tokenizer(texts, padding="max_length", truncation=True, max_length=WINDOW, return_tensors="pt")
        )


def real_questions(n: int) -> list[Question]:
    """Questions of MMLU-Pro, drawn from a published file; always the same ones."""
    results = [result for result in mmlu_pro.read(result_files()["gemma-7b"]) if not isinstance(result, SkippedRow)]
    queries = [results[row].query for row in np.random.default_rng(0).permutation(len(results))[:n]]
    return [
        Question(row, query.key, query.subject, "train", 0, RouterInput(query.text, query.choices))
        for row, query in enumerate(queries)
    ]
