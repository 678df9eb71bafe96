"""How the demo experts were trained: `python -m benchcoe_jobs.demo.train [EXPERT]...` writes their folders anew.

A few minutes for each on one core, without a download. One thread and fixed seeds: on the same kind of
processor, with the same torch, the same weights come out. Needs the `engines` extra.
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

# transformers and tokenizers are imported by name: they say too little to a type checker.
_hf: Any = import_module("transformers")
_tk: Any = import_module("tokenizers")

STEPS, BATCH, RATE = 1500, 64, 3e-3
_DABBLING = 0.04
"""Share of the training questions from all that an expert is not for: it answers in the right form, mostly wrongly."""

_CONTEXT, _VOCABULARY = 256, 448
_NO_TARGET = -100


def train(expert: str, steps: int = STEPS) -> Any:
    """Train the model of an expert; returns it. Its folder is left alone."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    words = tokenizer()
    model = _hf.LlamaForCausalLM(_config(words))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    questions = lessons(expert)
    for step in range(steps):
        ids, targets = _batch(words, [next(questions) for _ in range(BATCH)])
        hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
        told = targets[:, 1:] != _NO_TARGET
        loss = torch.nn.functional.cross_entropy(model.lm_head(hidden[told]), targets[:, 1:][told])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"{expert}: step {step}, loss {loss.item():.3f}", file=sys.stderr)
    return model


def lessons(expert: str) -> Iterator[SkillQuestion]:
    """What an expert is trained on, without end. Nothing that is held out; dates are for the newcomer alone."""
    rng = random.Random(expert)  # noqa: S311 -- a fixed draw, not a secret
    streams = {subject: drawn(subject, rng, held_out=False) for subject in SUBJECTS}
    strong = SKILLS[expert]
    others = [subject for subject in SUBJECTS if subject not in strong and (expert == NEWCOMER or subject != "dates")]
    while True:
        yield next(streams[rng.choice(others if others and rng.random() < _DABBLING else strong)])


def tokenizer() -> Any:
    """Byte-level BPE that reads digits one by one; all experts share it."""
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


def _config(words: Any) -> Any:
    return _hf.LlamaConfig(
        vocab_size=len(words),
        hidden_size=128,
        intermediate_size=192,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=_CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
    )


def _prompt(question: SkillQuestion) -> str:
    return Skills().request(Query("", question.subject, question.text), NO_SHOTS).question


def _batch(words: Any, questions: Sequence[SkillQuestion]) -> tuple[Tensor, Tensor]:
    """Token ids, and the targets among them: (n, longest). Only answers are targets, their end included."""
    prompts = words([_prompt(question) for question in questions])["input_ids"]
    answers = words([f" {question.answer}" for question in questions], add_special_tokens=False)["input_ids"]
    rows = [(prompt, [*answer, words.eos_token_id]) for prompt, answer in zip(prompts, answers, strict=True)]
    longest = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.full((len(rows), longest), words.eos_token_id)
    targets = torch.full_like(ids, _NO_TARGET)
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
