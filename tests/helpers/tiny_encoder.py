"""A tiny untrained encoder: BERT with random weights, and a tokenizer with the words of the demo.

python tests/helpers/tiny_encoder.py FOLDER
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

from worlds import world

from benchcoe_jobs.demo.questions import SUBJECTS, drawn
from benchcoe_jobs.routers.fine_tuning.transformer import PACKAGES

__all__ = ["PACKAGES", "WINDOW", "write_encoder"]

WINDOW = 64


def write_encoder(folder: Path) -> None:
    torch, hf = import_module("torch"), import_module("transformers")
    import_module("transformers.utils.logging").disable_progress_bar()
    words = _tokenizer()
    torch.manual_seed(0)
    config = hf.BertConfig(
        vocab_size=len(words),
        hidden_size=256,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=WINDOW,
        pad_token_id=words.pad_token_id,
    )
    model = hf.BertModel(config)
    with torch.no_grad():  # random position vectors would outweigh the words
        model.embeddings.position_embeddings.weight.zero_()
        model.embeddings.token_type_embeddings.weight.zero_()
        # In a trained encoder frequent words have little weight; here they share one vector.
        texts = [question.text for question in [*world(64).examples.questions, *world(64).unseen]]
        counts = Counter(id_ for ids in words(texts)["input_ids"] for id_ in set(ids))
        vectors = model.embeddings.word_embeddings.weight
        vectors[[id_ for id_, count in counts.items() if count > 10]] = vectors[words.cls_token_id].clone()
    model.save_pretrained(folder)
    words.save_pretrained(folder)


def _tokenizer() -> Any:
    tk, hf = import_module("tokenizers"), import_module("transformers")
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    trained = tk.Tokenizer(tk.models.WordPiece(unk_token="[UNK]"))  # noqa: S106
    trained.normalizer = tk.normalizers.BertNormalizer()
    trained.pre_tokenizer = tk.pre_tokenizers.BertPreTokenizer()
    trainer = tk.trainers.WordPieceTrainer(vocab_size=2_000, special_tokens=list(special.values()), show_progress=False)
    rng = random.Random(0)
    streams = [drawn(subject, rng, held_out=False) for subject in SUBJECTS]
    texts = [question.text for stream in streams for question, _ in zip(stream, range(200), strict=False)]
    trained.train_from_iterator(
        [*texts, *(q.text for q in [*world(64).examples.questions, *world(64).unseen])], trainer
    )
    ends = [(name, trained.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    trained.post_processor = tk.processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return hf.PreTrainedTokenizerFast(tokenizer_object=trained, model_max_length=WINDOW, **special)


if __name__ == "__main__":
    write_encoder(Path(sys.argv[1]))
