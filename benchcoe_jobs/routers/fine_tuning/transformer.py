"""An encoder of transformers that is stored with its router: weights, tokenizer and window.

torch and transformers are imported when an encoder is opened or restored, not with this module.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import InputError, MissingError
from benchcoe_jobs.masking import first_line
from benchcoe_jobs.routers.encoder import Encoder
from benchcoe_jobs.routers.stored import StoredConfig, stored_array
from benchcoe_jobs.routers.window import readable

PACKAGES = ("torch", "transformers", "accelerate")

# The window of the paper's encoder. Others have windows of thousands of tokens, which would take far longer.
_WINDOW = 512

# Names of attention dropout in configurations. It is turned off: torch has no fused attention kernel for a CPU with it,
# and a step took three to six times as long, mostly in page faults (questions of 512 tokens).
_ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")

# Tokens of a batch, including padding. On a CPU, batches that fit its caches are a tenth faster than four times larger
# ones; a GPU needs large batches.
_TOKENS = {"cpu": 2_048, "cuda": 16_384}


class StoredTransformer(StoredConfig):
    """What `Transformer.config` returns."""

    model: dict[str, Any]
    tokenizer: str
    window: int = Field(ge=1, le=_WINDOW)
    pad_id: int = Field(ge=0)


def require_packages() -> None:
    """Raise MissingError if a package that fine-tuning needs is not installed. No package is imported."""
    if any(find_spec(package) is None for package in PACKAGES):
        raise MissingError("a fine-tuned encoder needs more packages: pip install 'benchcoe-jobs[routers]'")


class Transformer:
    """A model of transformers in float32, and its tokenizer.

    The vector of a question is the mean of the vectors of its tokens, normalised, less `centre` (d,), and normalised
    again: without centring, the vectors of many encoders lie in a narrow cone.
    """

    def __init__(self, model: Any, tokenizer: Any, window: int, pad_id: int) -> None:
        self.model = model
        self.centre = np.zeros(model.config.hidden_size, dtype=np.float32)
        self.pad_id = pad_id
        self._tokenizer = tokenizer
        self._window = window

    @classmethod
    def open(cls, found: Encoder) -> Self:
        """An encoder from disk. Raises InputError if the folder holds no complete encoder."""
        require_packages()
        transformers = _quiet_transformers()
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(found.folder), **options)
            config = transformers.AutoConfig.from_pretrained(str(found.folder), **options)
            for name in _ATTENTION_DROPOUT:
                if hasattr(config, name):
                    setattr(config, name, 0.0)
            model, loaded = transformers.AutoModel.from_pretrained(
                str(found.folder),
                config=config,
                use_safetensors=True,
                dtype="float32",
                output_loading_info=True,
                **options,
            )
            # A pooler is often missing. It is not used here.
            if missing := sorted(name for name in loaded["missing_keys"] if "pooler" not in name):
                raise ValueError(f"{len(missing)} of its weights are missing, {missing[0]} among them")
            pad_id = 0 if tokenizer.pad_token_id is None else tokenizer.pad_token_id
            opened = cls(model, tokenizer, _window(model.config, tokenizer), pad_id)
            [read] = opened.ids([RouterInput("Can it read?")])
            if set(read) <= set(tokenizer.all_special_ids):
                raise ValueError("its tokenizer is missing, or knows no word")
            opened.vectors_of([read])
        except Exception as error:  # the libraries raise many types for a folder that is no encoder
            raise InputError(f"encoder {found.name} cannot be loaded: {first_line(error)}") from error
        return opened

    def ids(self, questions: Sequence[RouterInput]) -> list[list[int]]:
        """Token ids of each question, at least one; a question that is too long is cut as described in `window`."""
        texts = readable(questions, self._tokenizer, self._window)
        read = self._tokenizer(texts, truncation=True, max_length=self._window, return_attention_mask=False)
        return [ids or [self.pad_id] for ids in read["input_ids"]]

    def centre_on(self, ids: Sequence[Sequence[int]]) -> None:
        """Set `centre` to the mean vector of some tokenised questions."""
        self.centre = np.zeros_like(self.centre)
        self.centre = self.vectors_of(ids).mean(axis=0)

    def vectors(self, questions: Sequence[RouterInput]) -> NDArray[np.float32]:
        """Vectors of length one: (n, d)."""
        return self.vectors_of(self.ids(questions))

    def vectors_of(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Vectors of tokenised questions, of length one: (n, d)."""
        torch = import_module("torch")
        # After training the model is still in training mode, with dropout.
        self.model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
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
        # The tokenizer also stores the truncation and padding of its last call; each call sets them again.
        backend.no_truncation()
        backend.no_padding()
        return {
            "model": {name: value for name, value in config.items() if name not in ("_name_or_path", "_commit_hash")},
            "tokenizer": backend.to_str(),
            "window": self._window,
            "pad_id": self.pad_id,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The weights and the centre."""
        weights = {f"model.{name}": part.cpu().numpy() for name, part in self.model.state_dict().items()}
        return {**weights, "centre": self.centre}

    @classmethod
    def restore(cls, stored: StoredTransformer, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The encoder back from `config()` and `arrays()` alone.

        Raises MissingError without its packages, and the errors of the libraries if the parts do not fit together.
        """
        require_packages()
        transformers, tokenizers, torch = _quiet_transformers(), import_module("tokenizers"), import_module("torch")
        settings = dict(stored.model)
        model = transformers.AutoModel.from_config(
            transformers.AutoConfig.for_model(settings.pop("model_type"), **settings), trust_remote_code=False
        ).float()
        if stored.window > getattr(model.config, "max_position_embeddings", _WINDOW):
            raise ValueError(f"its window of {stored.window} tokens exceeds that of its model")
        weights = {name: a for name, a in arrays.items() if name != "centre"}
        for name in (name for name, a in weights.items() if a.dtype.kind == "f"):
            stored_array(weights, name, weights[name].shape)
        model.load_state_dict({name.removeprefix("model."): torch.tensor(a) for name, a in weights.items()})
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_object=tokenizers.Tokenizer.from_str(stored.tokenizer)
        )
        restored = cls(model, tokenizer, stored.window, stored.pad_id)
        restored.centre = stored_array(arrays, "centre", restored.centre.shape)
        restored.vectors([RouterInput("Can it read?")])
        return restored


def bf16_helps() -> bool:
    """Whether this machine multiplies bfloat16 in hardware; otherwise bfloat16 is slower than float32."""
    torch = import_module("torch")
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    can = torch.cpu.get_capabilities()
    return bool(can.get("amx_bf16") or can.get("avx512_bf16"))


def padded(ids: Sequence[Sequence[int]], pad_id: int) -> tuple[Any, Any]:
    """Padded token ids and the attention mask, as tensors: each (n, longest)."""
    torch = import_module("torch")
    pad = torch.nn.utils.rnn.pad_sequence
    rows = [torch.tensor(row) for row in ids]
    return (
        pad(rows, batch_first=True, padding_value=pad_id),
        pad([torch.ones_like(row) for row in rows], batch_first=True),
    )


def pooled(model: Any, ids: Any, mask: Any, centre: Any) -> Any:
    """Vectors of questions, see `Transformer`: (n, d), float32 in any autocast type."""
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    total = (hidden * mask.unsqueeze(-1)).sum(dim=1)  # the mean's direction
    return _unit(_unit(total) - centre)


def _unit(x: Any) -> Any:
    # A vector shorter than this is not normalised: its direction is noise, and its gradient would be unbounded.
    return x / x.norm(dim=1, keepdim=True).clamp_min(1e-3)


def _batches(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Batches of rows of similar length, each of at most `max_tokens` tokens when padded to its longest row."""
    rows: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if rows and lengths[row] * (len(rows) + 1) > max_tokens:
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
