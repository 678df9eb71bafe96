"""An encoder of transformers that travels with its router: its weights, its tokenizer and its window.

torch and transformers are imported where an encoder is opened or restored, not with this module.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import InputError, MissingError
from benchcoe_jobs.routers.encoder import Encoder, first_line
from benchcoe_jobs.routers.window import readable

PACKAGES = ("torch", "transformers", "accelerate")

# The window of the paper's encoder. Some have windows of thousands of tokens, and would take as much longer.
_WINDOW = 512

# What configurations call dropout between tokens. With it torch has no fused kernel for attention on a CPU: a step took
# three to six times as long, for most of it in page faults (questions of 512 tokens).
_ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")

# Tokens that are read at once, padding counted. What fits a CPU's caches is a tenth faster there than four times as
# many; a GPU wants to be filled.
_TOKENS = {"cpu": 2_048, "cuda": 16_384}


def require_packages() -> None:
    """Raise MissingError where a package that fine-tuning needs is not installed; imports none."""
    if any(find_spec(package) is None for package in PACKAGES):
        raise MissingError("a fine-tuned encoder needs more packages: pip install 'benchcoe-jobs[routers]'")


class Transformer:
    """A model, and the tokenizer that cuts texts for it.

    `model` is one of transformers, in float32. A question's vector is the mean of its tokens', of length one, taken
    from `centre` (d,) and again brought to length one: the vectors of many an encoder lie in a narrow cone.
    """

    def __init__(self, model: Any, tokenizer: Any, window: int, pad_id: int) -> None:
        self.model = model
        self.centre = np.zeros(model.config.hidden_size, dtype=np.float32)
        self.pad_id = pad_id
        self._tokenizer = tokenizer
        self._window = window

    @classmethod
    def open(cls, found: Encoder) -> Self:
        """An encoder from disk. Raises InputError where what is there is none, or not whole."""
        require_packages()
        transformers = _quiet_transformers()
        where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(found.folder), **where)
            config = transformers.AutoConfig.from_pretrained(str(found.folder), **where)
            for name in _ATTENTION_DROPOUT:
                if hasattr(config, name):
                    setattr(config, name, 0.0)
            model, loaded = transformers.AutoModel.from_pretrained(
                str(found.folder),
                config=config,
                use_safetensors=True,
                dtype="float32",
                output_loading_info=True,
                **where,
            )
            # A pooler is often left out, and not used here.
            if missing := sorted(name for name in loaded["missing_keys"] if "pooler" not in name):
                raise ValueError(f"{len(missing)} of its weights are missing, {missing[0]} among them")
            pad_id = 0 if tokenizer.pad_token_id is None else tokenizer.pad_token_id
            opened = cls(model, tokenizer, _window(model.config, tokenizer), pad_id)
            [read] = opened.ids([RouterInput("Can it read?")])
            if set(read) <= set(tokenizer.all_special_ids):
                raise ValueError("its tokenizer is missing, or knows no word")
            opened.vectors_of([read])
        except Exception as error:  # the libraries raise a dozen kinds for a folder that is no encoder
            raise InputError(f"encoder {found.name} cannot be loaded: {first_line(error)}") from error
        return opened

    def ids(self, questions: Sequence[RouterInput]) -> list[list[int]]:
        """Token ids of each question, at least one; what is too long is cut as in `window`."""
        texts = readable(questions, self._tokenizer, self._window)
        read = self._tokenizer(texts, truncation=True, max_length=self._window, return_attention_mask=False)
        return [ids or [self.pad_id] for ids in read["input_ids"]]

    def centre_on(self, ids: Sequence[Sequence[int]]) -> None:
        """Take vectors from the mean of those of some questions from now on."""
        self.centre = np.zeros_like(self.centre)
        self.centre = self.vectors_of(ids).mean(axis=0)

    def vectors(self, questions: Sequence[RouterInput]) -> NDArray[np.float32]:
        """Vectors of length one: (n, d)."""
        return self.vectors_of(self.ids(questions))

    def vectors_of(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Vectors of questions that are read already: (n, d)."""
        torch = import_module("torch")
        self.model.eval().to("cuda" if torch.cuda.is_available() else "cpu")  # training leaves it drawing shard_groups
        centre = torch.tensor(self.centre, device=self.model.device)
        found = np.empty((len(ids), len(self.centre)), dtype=np.float32)
        device = self.model.device.type
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=bf16_helps()):
            for rows in _batches([len(row) for row in ids], _TOKENS[device]):
                read, mask = padded([ids[row] for row in rows], self.pad_id)
                vectors = pooled(self.model, read.to(self.model.device), mask.to(self.model.device), centre)
                found[rows] = vectors.cpu().numpy()
        return found

    def config(self) -> dict[str, Any]:
        """The model's configuration and the tokenizer, as text."""
        config = json.loads(self.model.config.to_json_string(use_diff=False))
        backend = self._tokenizer.backend_tokenizer
        # What was cut or padded last is kept there too; each call sets it anew.
        backend.no_truncation()
        backend.no_padding()
        return {
            "model": {name: value for name, value in config.items() if name not in ("_name_or_path", "_commit_hash")},
            "tokenizer": backend.to_str(),
            "window": self._window,
            "pad_id": self.pad_id,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The weights, and the centre."""
        weights = {f"model.{name}": part.cpu().numpy() for name, part in self.model.state_dict().items()}
        return {**weights, "centre": self.centre}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The encoder back from `config()` and `arrays()`; nothing else is read. Raises MissingError."""
        require_packages()
        transformers, tokenizers, torch = _quiet_transformers(), import_module("tokenizers"), import_module("torch")
        settings = dict(config["model"])
        model = transformers.AutoModel.from_config(
            transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
        ).float()
        weights = {name.removeprefix("model."): torch.tensor(a) for name, a in arrays.items() if name != "centre"}
        model.load_state_dict(weights)
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_object=tokenizers.Tokenizer.from_str(config["tokenizer"])
        )
        restored = cls(model, tokenizer, config["window"], config["pad_id"])
        restored.centre = arrays["centre"]
        return restored


def bf16_helps() -> bool:
    """Whether this machine multiplies bfloat16 in hardware; where it does not, it is slower than float32."""
    torch = import_module("torch")
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    can = torch.cpu.get_capabilities()
    return bool(can.get("amx_bf16") or can.get("avx512_bf16"))


def padded(ids: Sequence[Sequence[int]], pad_id: int) -> tuple[Any, Any]:
    """Token ids and what of them is no padding, as tensors: each (n, longest)."""
    torch = import_module("torch")
    pad = torch.nn.utils.rnn.pad_sequence
    rows = [torch.tensor(row) for row in ids]
    return (
        pad(rows, batch_first=True, padding_value=pad_id),
        pad([torch.ones_like(row) for row in rows], batch_first=True),
    )


def pooled(model: Any, ids: Any, mask: Any, centre: Any) -> Any:
    """Vectors of questions, see `Transformer`: (n, d), float32, whatever the model computes in."""
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    total = (hidden * mask.unsqueeze(-1)).sum(dim=1)  # the mean's direction
    return _unit(_unit(total) - centre)


def _unit(x: Any) -> Any:
    # What is no longer than this stays shorter than one: its direction is noise, and its gradient has no bound.
    return x / x.norm(dim=1, keepdim=True).clamp_min(1e-3)


def _batches(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Rows of like length together, `most` tokens at once: a batch is padded to its longest."""
    rows: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if rows and lengths[row] * (len(rows) + 1) > most:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _window(config: Any, tokenizer: Any) -> int:
    if not tokenizer.is_fast:
        raise ValueError("it has no fast tokenizer (tokenizer.json)")
    return int(min(_WINDOW, tokenizer.model_max_length, getattr(config, "max_position_embeddings", _WINDOW)))


def _quiet_transformers() -> Any:
    logging = import_module("transformers.utils.logging")
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    return import_module("transformers")
