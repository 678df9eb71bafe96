"""Train the demo experts: `python -m benchcoe_jobs.demo.train [EXPERT]...` writes their folders again.

Takes a few minutes for each on one core, without a download. With one thread and fixed seeds, the weights are the same
on the same type of processor with the same version of torch. Needs the extra `engines`.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from benchcoe_jobs.benchmarks.base import NO_SHOTS
from benchcoe_jobs.benchmarks.skills import Skills
from benchcoe_jobs.demo import NEWCOMER, SKILLS, model_folder
from benchcoe_jobs.demo.questions import SUBJECTS, SkillQuestion, drawn
from benchcoe_jobs.domain import Query

# transformers and tokenizers are imported by name because their types are incomplete.
_hf: Any = import_module("transformers")
_tk: Any = import_module("tokenizers")

STEPS, BATCH, RATE = 1500, 64, 3e-3
_OTHER_SUBJECTS = 0.04
"""The share of training questions from other subjects: the expert learns the form of their answers, but little more."""

_CONTEXT, _VOCABULARY = 256, 448
NO_TARGET = -100


def train(expert: str, steps: int = STEPS) -> Any:
    """Train the model of an expert and return it. Its folder is not changed."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    trained_tokenizer = tokenizer()
    model = _hf.LlamaForCausalLM(_config(trained_tokenizer))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    questions = training_questions(expert)
    for step in range(steps):
        ids, targets = _batch(trained_tokenizer, [next(questions) for _ in range(BATCH)])
        hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
        has_target = targets[:, 1:] != NO_TARGET
        loss = torch.nn.functional.cross_entropy(model.lm_head(hidden[has_target]), targets[:, 1:][has_target])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"{expert}: step {step}, loss {loss.item():.3f}", file=sys.stderr)
    return model


def training_questions(expert: str) -> Iterator[SkillQuestion]:
    """An endless stream of training questions of an expert, none held out; only the newcomer gets dates."""
    rng = random.Random(expert)  # noqa: S311 -- a fixed draw, not a secret
    streams = {subject: drawn(subject, rng, held_out=False) for subject in SUBJECTS}
    strong = SKILLS[expert]
    others = [subject for subject in SUBJECTS if subject not in strong and (expert == NEWCOMER or subject != "dates")]
    while True:
        yield next(streams[rng.choice(others if others and rng.random() < _OTHER_SUBJECTS else strong)])


def tokenizer() -> Any:
    """A byte-level BPE tokenizer with one token per digit, which all experts share."""
    trained = _tk.Tokenizer(_tk.models.BPE())
    trained.pre_tokenizer = _tk.pre_tokenizers.Sequence(
        [_tk.pre_tokenizers.Digits(individual_digits=True), _tk.pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trained.decoder = _tk.decoders.ByteLevel()
    trainer = _tk.trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=sorted(_tk.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    rng = random.Random(0)  # noqa: S311 -- a fixed draw, not a secret
    streams = [drawn(subject, rng, held_out=False) for subject in SUBJECTS]
    questions = [question for stream in streams for question, _ in zip(stream, range(2000), strict=False)]
    texts = [f"{_prompt(question)} {question.answer}" for question in questions]
    trained.train_from_iterator(texts, trainer)
    begin = trained.token_to_id("<s>")
    trained.post_processor = _tk.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", begin)])
    return _hf.PreTrainedTokenizerFast(tokenizer_object=trained, bos_token="<s>", eos_token="</s>")  # noqa: S106


def _config(tokens: Any) -> Any:
    return _hf.LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=128,
        intermediate_size=192,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=_CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
    )


def _prompt(question: SkillQuestion) -> str:
    return Skills().request(Query("", question.subject, question.text), NO_SHOTS).question


def _batch(tokens: Any, questions: Sequence[SkillQuestion]) -> tuple[Tensor, Tensor]:
    """Token ids and targets, each (n, longest). Only the tokens of answers are targets, including their end."""
    prompts = tokens([_prompt(question) for question in questions])["input_ids"]
    answers = tokens([f" {question.answer}" for question in questions], add_special_tokens=False)["input_ids"]
    rows = [(prompt, [*answer, tokens.eos_token_id]) for prompt, answer in zip(prompts, answers, strict=True)]
    return padded(rows, tokens.eos_token_id)


def padded(rows: Sequence[tuple[list[int], list[int]]], padding: int) -> tuple[Tensor, Tensor]:
    """Token ids and targets, each (n, longest), of n (prompt, answer). Only the tokens of answers are targets."""
    longest = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.full((len(rows), longest), padding)
    targets = torch.full_like(ids, NO_TARGET)
    for row, (prompt, answer) in enumerate(rows):
        ids[row, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
        targets[row, len(prompt) : len(prompt) + len(answer)] = torch.tensor(answer)
    return ids, targets


def main(experts: Sequence[str]) -> None:
    for expert in experts or SKILLS:
        folder = model_folder(expert)
        train(expert).half().save_pretrained(folder)
        tokenizer().save_pretrained(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
