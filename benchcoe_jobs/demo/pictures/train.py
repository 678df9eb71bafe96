"""Train the experts that see: `python -m benchcoe_jobs.demo.pictures.train [EXPERT]...` writes their folders again.

Takes about ten minutes for each on one core, without a download. With one thread and fixed seeds, the weights are the
same on the same type of processor with the same version of torch. Needs the extra `engines`.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchcoe_jobs.benchmarks.base import NO_SHOTS
from benchcoe_jobs.benchmarks.drawings import Drawings
from benchcoe_jobs.demo.pictures import NEWCOMER, STRONG, model_folder
from benchcoe_jobs.demo.pictures.canvas import OTHER, PLAIN
from benchcoe_jobs.demo.pictures.muon import Muon
from benchcoe_jobs.demo.pictures.questions import SUBJECTS, PictureQuestion, drawing
from benchcoe_jobs.demo.train import NO_TARGET, padded
from benchcoe_jobs.domain import Query

# transformers and tokenizers are imported by name because their types are incomplete.
_hf: Any = import_module("transformers")
_tk: Any = import_module("tokenizers")

STEPS = {"painter": 500, "reader": 600, "counter": 1100, "watchmaker": 300}
BATCH, RATE, MATRIX_RATE, WARM_UP = 48, 2e-3, 0.01, 50
_OTHER_SUBJECTS = 0.04
"""The share of training pictures of other subjects: the expert learns the form of their answers, but little more."""

_TIMES = {"counting": 3}
"""How often a strong subject is among those that a lesson is drawn from, if more than once: it is learned slowly."""

_OTHER_STYLE = 0.25
_PER_PICTURE = 3
"""The largest number of questions about one picture in a step."""

_SIDE, _PATCH, _SHUFFLE = 48, 8, 2
_IMAGE_TOKENS = (_SIDE // _PATCH // _SHUFFLE) ** 2
_CONTEXT, _VOCABULARY = 128, 416
_BEGIN, _END = "<s>", "</s>"
_IMAGE, _AROUND, _WHOLE = "<image>", "<fake_token_around_image>", "<global-img>"

_CHAT = (
    "{% for message in messages %}{% for part in message.content %}"
    "{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endfor %}"
)

Lesson = tuple[Image.Image, list[tuple[str, str]]]
"""A picture, and questions about it with their answers."""


def train(expert: str, steps: int | None = None) -> Any:
    """Train the model of an expert and return it. Its folder is not changed."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    words = tokenizer()
    model = _hf.Idefics3ForConditionalGeneration(_config(words)).train()
    optimizers = _optimizers(model)
    rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    steps = STEPS[expert] if steps is None else steps
    stream = lessons(expert)
    for step in range(steps):
        for optimizer, rate in zip(optimizers, rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / WARM_UP, (1 - step / steps) / 0.6)
        loss = _loss(model, words, [next(stream) for _ in range(BATCH)])
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if step % 100 == 0:
            print(f"{expert}: step {step}, loss {loss.item():.3f}", file=sys.stderr, flush=True)
    return model


def lessons(expert: str) -> Iterator[Lesson]:
    """An endless stream of training pictures of an expert, none held out; only the newcomer gets clocks."""
    rng = random.Random(expert)  # noqa: S311 -- a fixed draw, not a secret
    strong = [subject for subject in STRONG[expert] for _ in range(_TIMES.get(subject, 1))]
    others = [s for s in SUBJECTS if s not in strong and (expert == NEWCOMER or s not in STRONG[NEWCOMER])]
    while True:
        subject = rng.choice(others if rng.random() < _OTHER_SUBJECTS else strong)
        style = OTHER if rng.random() < _OTHER_STYLE else PLAIN
        drawn = drawing(subject, rng, style, held_out=False)
        meant = strong if subject in strong else [subject]
        usable = [question for question in drawn.questions if question.subject in meant]
        few = rng.sample(usable, min(_PER_PICTURE, len(usable)))
        yield drawn.image, [(_prompt(one, rng.randrange(2)), f" {one.answer}") for one in few]


def tokenizer() -> Any:
    """A byte-level BPE tokenizer with one token per digit, which all experts share."""
    trained = _tk.Tokenizer(_tk.models.BPE())
    trained.pre_tokenizer = _tk.pre_tokenizers.Sequence(
        [_tk.pre_tokenizers.Digits(individual_digits=True), _tk.pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trained.decoder = _tk.decoders.ByteLevel()
    trainer = _tk.trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=[_BEGIN, _END, _IMAGE, _AROUND, _WHOLE, "<end_of_utterance>"],
        initial_alphabet=sorted(_tk.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    rng = random.Random(0)  # noqa: S311 -- a fixed draw, not a secret
    drawn = [drawing(subject, rng, PLAIN, held_out=False) for subject in SUBJECTS for _ in range(200)]
    texts = [
        f"{_prompt(question, wording)} {question.answer}"
        for one in drawn
        for question in one.questions
        for wording in range(2)
    ]
    trained.train_from_iterator(texts, trainer)
    return _hf.PreTrainedTokenizerFast(
        tokenizer_object=trained,
        bos_token=_BEGIN,
        eos_token=_END,
        pad_token=_END,
        extra_special_tokens={
            "image_token": _IMAGE,
            "fake_image_token": _AROUND,
            "global_image_token": _WHOLE,
            "end_of_utterance_token": "<end_of_utterance>",
        },
    )


def processor(words: Any) -> Any:
    """The processor that is saved with each expert: pictures become 48 pixels wide or high, and nine tokens."""
    images = import_module("transformers.models.idefics3.image_processing_pil_idefics3")
    side = {"longest_edge": _SIDE}
    pixels = images.Idefics3ImageProcessorPil(size=side, max_image_size=side, do_image_splitting=False)
    return _hf.Idefics3Processor(pixels, words, image_seq_len=_IMAGE_TOKENS, chat_template=_CHAT)


def _config(words: Any) -> Any:
    return _hf.Idefics3Config(
        vision_config={
            "hidden_size": 96,
            "intermediate_size": 192,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "image_size": _SIDE,
            "patch_size": _PATCH,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": len(words),
            "hidden_size": 128,
            "intermediate_size": 192,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "max_position_embeddings": _CONTEXT,
            "tie_word_embeddings": True,
            "bos_token_id": words.bos_token_id,
            "eos_token_id": words.eos_token_id,
            "pad_token_id": words.pad_token_id,
        },
        image_token_id=words.convert_tokens_to_ids(_IMAGE),
        scale_factor=_SHUFFLE,
        pad_token_id=words.pad_token_id,
        tie_word_embeddings=True,
    )


def _optimizers(model: Any) -> list[Any]:
    """Muon for the matrices of the layers, AdamW for embeddings and vectors."""
    matrices = {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.ndim == 2 and "embed" not in name and "lm_head" not in name
    }
    rest = [parameter for name, parameter in model.named_parameters() if name not in matrices]
    return [
        Muon(matrices.values(), lr=MATRIX_RATE),
        torch.optim.AdamW(rest, lr=RATE, betas=(0.9, 0.98), weight_decay=0.01),
    ]


def _prompt(question: PictureQuestion, wording: int) -> str:
    return Drawings().request(Query("", question.subject, question.texts[wording]), NO_SHOTS).question


def _loss(model: Any, words: Any, learned: Sequence[Lesson]) -> Tensor:
    """The mean cross-entropy of the tokens of the answers."""
    ids, targets = _tokens(words, [pair for _, pairs in learned for pair in pairs])
    picture_of = torch.tensor([number for number, (_, pairs) in enumerate(learned) for _ in pairs])
    # Each picture is encoded once, whatever the number of its questions.
    encoded = model.model.get_image_features(_pixels([image for image, _ in learned])).pooler_output
    embedded = model.get_input_embeddings()(ids)
    is_image = ids == model.config.image_token_id
    embedded = embedded.masked_scatter(is_image[..., None], torch.stack(list(encoded))[picture_of])
    hidden = model.model.text_model(inputs_embeds=embedded, use_cache=False).last_hidden_state[:, :-1]
    has_target = targets[:, 1:] != NO_TARGET
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[has_target]), targets[:, 1:][has_target])


def _pixels(images: Sequence[Image.Image]) -> Tensor:
    """The pixels of n pictures as the saved processor gives them: (n, 1, 3, side, side) in [-1, 1]."""
    sized = [
        image if image.width == _SIDE else image.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS) for image in images
    ]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in sized]))
    return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)[:, None]


def _tokens(words: Any, pairs: Sequence[tuple[str, str]]) -> tuple[Tensor, Tensor]:
    """Token ids and targets, each (n, longest). Only the tokens of answers are targets, including their end."""
    around, whole, image = words.convert_tokens_to_ids([_AROUND, _WHOLE, _IMAGE])
    head = [around, whole, *[image] * _IMAGE_TOKENS, around]
    prompts, answers = (words([pair[part] for pair in pairs], add_special_tokens=False)["input_ids"] for part in (0, 1))
    rows = [([*head, *prompt], [*answer, words.eos_token_id]) for prompt, answer in zip(prompts, answers, strict=True)]
    return padded(rows, words.eos_token_id)


def main(experts: Sequence[str]) -> None:
    for expert in experts or STRONG:
        folder = model_folder(expert)
        train(expert).half().save_pretrained(folder)
        processor(tokenizer()).save_pretrained(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
