"""Tiny models with random weights, made on the spot: a Llama, and a Llava that sees."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

CONTEXT = 512

_TEXT = "The answer is one of the letters below. Question: what is two plus two? Let's think step by step. "

_CHAT = (
    "{% for message in messages %}<|user|>{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}{% if part.type == 'text' %}{{ part.text }}{% else %}<image>{% endif %}"
    "{% endfor %}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tokenizer(*special: str) -> PreTrainedTokenizerFast:
    """Byte-level BPE with a few merges, so that tokens cross the end of a prompt."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>", "</s>", "<|user|>", "<|assistant|>", *special],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    trained.train_from_iterator([_TEXT] * 50, trainer)
    begin = trained.token_to_id("<s>")
    trained.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", begin)])
    fast = PreTrainedTokenizerFast(tokenizer_object=trained, bos_token="<s>", eos_token="</s>")  # noqa: S106
    fast.chat_template = _CHAT
    return fast


def text_config(vocabulary: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        initializer_range=0.4,  # wide, so that answers differ and near-ties are rare
        bos_token_id=0,
        eos_token_id=1,
    )


def save_llama(folder: Path) -> Path:
    torch.manual_seed(0)
    words = tokenizer()
    LlamaForCausalLM(text_config(len(words))).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def save_llava(folder: Path) -> Path:
    """30 x 30 pixels in 9 patches: 9 image tokens."""
    torch.manual_seed(0)
    words = tokenizer("<image>")
    sight = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=30, patch_size=10
    )
    config = LlavaConfig(
        vision_config=sight,
        text_config=text_config(len(words)),
        image_token_id=words.convert_tokens_to_ids("<image>"),
        image_seq_length=9,
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    images = CLIPImageProcessorPil(
        size={"shortest_edge": 30}, crop_size={"height": 30, "width": 30}, do_center_crop=True
    )
    LlavaProcessor(
        images,
        words,
        patch_size=10,
        vision_feature_select_strategy="default",
        chat_template=_CHAT,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    return folder


def picture(red: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (red, 90, 255 - red)).save(file, "PNG")
    return file.getvalue()
