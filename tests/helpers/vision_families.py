"""Tiny models with random weights of the families that see, in folders with the files that published ones have.

The classes of models, tokenizers and image processors are those of transformers. Its processors with a part for videos
cannot be made without torchvision, so what they save, `processor_config.json`, is written here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import tiny
import torch
import transformers as hf

_SIDE, _PATCH = 32, 8
_HEADS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
_ENCODER = _HEADS | {"image_size": _SIDE, "patch_size": _PATCH}
_SQUARE = {"height": _SIDE, "width": _SIDE}
_GRID = [[_SIDE, 2 * _SIDE], [2 * _SIDE, _SIDE], [2 * _SIDE, 2 * _SIDE]]
_CHAT = (
    "{% for message in messages %}<|user|>{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}{% if part.type == 'text' %}{{ part.text }}{% else %}IMAGE{% endif %}"
    "{% endfor %}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True)
class Family:
    """A family of models: how it is called, the token of an image in its prompts, and how its folder is made."""

    name: str
    image_token: str
    save: Callable[[Path], None]


def _family(name: str, image_token: str, processor: str, model: str, make: Callable[[Any], _Parts]) -> Family:
    def save(folder: Path) -> None:
        torch.manual_seed(0)
        parts = make(lambda *special: tiny.tokenizer(image_token, *special))
        words = parts.tokenizer
        words.chat_template = _CHAT.replace("IMAGE", parts.placed or image_token)
        words.save_pretrained(folder)
        tokens = folder / "tokenizer_config.json"
        tokens.write_text(json.dumps(json.loads(tokens.read_text()) | {"extra_special_tokens": parts.named}))
        parts.images.save_pretrained(folder)
        named = {"processor_class": processor} | parts.settings
        (folder / "processor_config.json").write_text(json.dumps(named))
        made = getattr(hf, model)(parts.config)
        for weight in made.parameters():
            if weight.shape == (1,):  # the gates of Mllama, which are closed before the training
                torch.nn.init.ones_(weight)
            elif weight.ndim == 2 and not weight.any():  # Gemma's projection of images
                torch.nn.init.normal_(weight)
        made.save_pretrained(folder)

    return Family(name, image_token, save)


@dataclass(frozen=True)
class _Parts:
    """What is saved; `settings` are those of the processor beside its class.

    `placed` is what a chat template writes for an image, if that is more than its token; `named` are the tokens that a
    processor finds by name.
    """

    tokenizer: Any
    images: Any
    config: Any
    settings: dict[str, Any]
    placed: str = ""
    named: dict[str, str] = field(default_factory=dict)


def _images(model_type: str, name: str, **settings: Any) -> Any:
    module = import_module(f"transformers.models.{model_type}.image_processing_pil_{model_type}")
    return getattr(module, f"{name}ImageProcessorPil")(**settings)


def _text(words: Any, **others: Any) -> dict[str, Any]:
    return tiny.text_config(len(words)).to_dict() | {"pad_token_id": 1} | others


def _qwen2_text(words: Any) -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": 10000.0}
    return _text(words, model_type="qwen2", rope_parameters=rope)


def _id(words: Any, token: str) -> int:
    return int(words.convert_tokens_to_ids(token))


def _llava(make: Any) -> _Parts:
    words = make()
    images = _images("clip", "CLIP", size={"shortest_edge": _SIDE}, crop_size=_SQUARE)
    config = hf.LlavaConfig(
        vision_config={"model_type": "clip_vision_model", **_ENCODER, "projection_dim": 32},
        text_config=_text(words),
        image_token_index=_id(words, "<image>"),
        vision_feature_layer=-1,
    )
    settings = {"patch_size": _PATCH, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    return _Parts(words, images, config, settings)


def _llava_next(make: Any) -> _Parts:
    words = make()
    images = _images(
        "llava_next", "LlavaNext", size={"shortest_edge": _SIDE}, crop_size=_SQUARE, image_grid_pinpoints=_GRID
    )
    config = hf.LlavaNextConfig(
        vision_config={"model_type": "clip_vision_model", **_ENCODER, "projection_dim": 32},
        text_config=_text(words),
        image_token_index=_id(words, "<image>"),
        vision_feature_layer=-1,
        image_grid_pinpoints=_GRID,
    )
    settings = {"patch_size": _PATCH, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    return _Parts(words, images, config, settings)


def _llava_onevision(make: Any) -> _Parts:
    words = make("<video>")
    images = _images("llava_onevision", "LlavaOnevision", size=_SQUARE, image_grid_pinpoints=_GRID)
    config = hf.LlavaOnevisionConfig(
        vision_config={"model_type": "siglip_vision_model", **_ENCODER, "vision_use_head": False},
        text_config=_qwen2_text(words),
        image_token_index=_id(words, "<image>"),
        video_token_index=_id(words, "<video>"),
        image_grid_pinpoints=_GRID,
    )
    n_tokens = (_SIDE // _PATCH) ** 2
    return _Parts(words, images, config, {"num_image_tokens": n_tokens, "vision_feature_select_strategy": "full"})


_QWEN = ("<|vision_start|>", "<|vision_end|>", "<|video_pad|>")


def _qwen(make: Any, config: Any, patch: int, vision: dict[str, Any]) -> _Parts:
    words = make(*_QWEN)
    images = _images(
        "qwen2_vl",
        "Qwen2VL",
        size={"shortest_edge": (2 * patch) ** 2, "longest_edge": (6 * patch) ** 2},
        patch_size=patch,
        temporal_patch_size=2,
        merge_size=2,
    )
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]}
    text = {name: value for name, value in _text(words, rope_parameters=rope).items() if name != "model_type"}
    made = config(
        vision_config={"patch_size": patch, "num_heads": 2, "depth": 2, **vision},
        text_config=text,
        image_token_id=_id(words, "<|image_pad|>"),
        video_token_id=_id(words, "<|video_pad|>"),
        vision_start_token_id=_id(words, "<|vision_start|>"),
        vision_end_token_id=_id(words, "<|vision_end|>"),
    )
    return _Parts(words, images, made, {}, placed="<|vision_start|><|image_pad|><|vision_end|>")


def _qwen2_vl(make: Any) -> _Parts:
    return _qwen(make, hf.Qwen2VLConfig, 14, {"embed_dim": 32, "hidden_size": 128})


def _qwen2_5_vl(make: Any) -> _Parts:
    vision = {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 128, "fullatt_block_indexes": [1]}
    return _qwen(make, hf.Qwen2_5_VLConfig, 14, vision)


def _qwen3_vl(make: Any) -> _Parts:
    vision = {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 128, "deepstack_visual_indexes": [0]}
    return _qwen(make, hf.Qwen3VLConfig, 16, vision | {"num_position_embeddings": 36})


def _internvl(make: Any) -> _Parts:
    words = make("<img>", "</img>", "<video>")
    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    images = _images("got_ocr2", "GotOcr2", size=_SQUARE, crop_to_patches=True, max_patches=3)
    config = hf.InternVLConfig(
        vision_config={**_ENCODER, "image_size": [_SIDE, _SIDE], "patch_size": [_PATCH, _PATCH]},
        text_config=_qwen2_text(words),
        image_token_id=_id(words, "<IMG_CONTEXT>"),
        image_seq_length=4,
        tie_word_embeddings=False,
    )
    return _Parts(words, images, config, {"image_seq_length": 4}, named=named)


def _smolvlm(make: Any) -> _Parts:
    words = make("<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<video>")
    images = _images(
        "smolvlm",
        "SmolVLM",
        size={"longest_edge": 2 * _SIDE},
        max_image_size={"longest_edge": _SIDE},
        do_image_splitting=True,
    )
    config = hf.SmolVLMConfig(
        vision_config=_ENCODER,
        text_config=_text(words),
        image_token_id=_id(words, "<image>"),
        scale_factor=2,
        pad_token_id=1,
    )
    return _Parts(words, images, config, {"image_seq_len": 4})


def _gemma3(make: Any) -> _Parts:
    words = make("<start_of_image>", "<end_of_image>")
    named = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    text = {name: value for name, value in _text(words).items() if name not in ("model_type", "rope_parameters")}
    config = hf.Gemma3Config(
        vision_config={**_ENCODER, "vision_use_head": False},
        text_config=text | {"query_pre_attn_scalar": 32, "sliding_window": 64},
        mm_tokens_per_image=4,
        tie_word_embeddings=False,
        boi_token_index=_id(words, "<start_of_image>"),
        eoi_token_index=_id(words, "<end_of_image>"),
        image_token_index=_id(words, "<image_soft_token>"),
    )
    images = _images("gemma3", "Gemma3", size=_SQUARE)
    return _Parts(words, images, config, {"image_seq_length": 4}, placed="<start_of_image>", named=named)


def _mllama(make: Any) -> _Parts:
    words = make("<|python_tag|>")
    # Not the last layer: a token looks at the last picture before it, and later layers bring in what earlier ones saw.
    text = _text(words, cross_attention_layers=[1], num_hidden_layers=3)
    rope = {"rope_type": "default", "rope_theta": 10000.0}
    text = {name: value for name, value in text.items() if name not in ("model_type", "head_dim")}
    config = hf.MllamaConfig(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_global_layers": 1,
            "attention_heads": 2,
            "image_size": _SIDE,
            "patch_size": _PATCH,
            "max_num_tiles": 4,
            "intermediate_layers_indices": [0],
            "vision_output_dim": 64,
            "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1], [2, 2]],
        },
        text_config=text | {"rope_parameters": rope},
        image_token_index=_id(words, "<|image|>"),
    )
    return _Parts(words, _images("mllama", "Mllama", size=_SQUARE, max_image_tiles=4), config, {})


def _pixtral(make: Any) -> _Parts:
    words = make("[IMG_BREAK]", "[IMG_END]")
    config = hf.LlavaConfig(
        vision_config={"model_type": "pixtral", **_ENCODER, "head_dim": 16},
        text_config=_text(words),
        image_token_index=_id(words, "[IMG]"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    images = _images("pixtral", "Pixtral", size={"longest_edge": _SIDE}, patch_size={"height": _PATCH, "width": _PATCH})
    return _Parts(words, images, config, {"patch_size": _PATCH})


def _save_idefics(folder: Path) -> None:
    tiny.save_idefics(folder)  # returns the folder


FAMILIES = [
    Family("Idefics3", "<image>", _save_idefics),
    _family("LLaVA", "<image>", "LlavaProcessor", "LlavaForConditionalGeneration", _llava),
    _family("LLaVA-NeXT", "<image>", "LlavaNextProcessor", "LlavaNextForConditionalGeneration", _llava_next),
    _family(
        "LLaVA-OneVision",
        "<image>",
        "LlavaOnevisionProcessor",
        "LlavaOnevisionForConditionalGeneration",
        _llava_onevision,
    ),
    _family("Qwen2-VL", "<|image_pad|>", "Qwen2VLProcessor", "Qwen2VLForConditionalGeneration", _qwen2_vl),
    _family("Qwen2.5-VL", "<|image_pad|>", "Qwen2_5_VLProcessor", "Qwen2_5_VLForConditionalGeneration", _qwen2_5_vl),
    _family("Qwen3-VL", "<|image_pad|>", "Qwen3VLProcessor", "Qwen3VLForConditionalGeneration", _qwen3_vl),
    _family("InternVL", "<IMG_CONTEXT>", "InternVLProcessor", "InternVLForConditionalGeneration", _internvl),
    _family("SmolVLM", "<image>", "SmolVLMProcessor", "SmolVLMForConditionalGeneration", _smolvlm),
    _family("Gemma3", "<image_soft_token>", "Gemma3Processor", "Gemma3ForConditionalGeneration", _gemma3),
    _family("Mllama", "<|image|>", "MllamaProcessor", "MllamaForConditionalGeneration", _mllama),
    _family("Pixtral", "[IMG]", "PixtralProcessor", "LlavaForConditionalGeneration", _pixtral),
]
