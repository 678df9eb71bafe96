"""Load the processor of a model for text and images, without what it needs for videos alone.

The processors of several families (Qwen-VL, InternVL, LLaVA-OneVision, SmolVLM) have a part for videos, and
transformers loads them only with torchvision, although their part for images works without it. Here no video is ever
processed.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.errors import ModelNotFoundError
from benchcoe_jobs.errors import MissingError
from benchcoe_jobs.masking import first_line

# transformers is imported by name because its lazy modules have no types for a type checker.
_hf: Any = import_module("transformers")

_VIDEO = "video_processor"


class _NoVideos(dict[str, Any]):
    """In the place of the part for videos. SmolVLM reads these settings also without a video; it is saved as `{}`."""

    num_frames = fps = None


# The files of a model that may name its processor, in the order in which transformers reads them.
_NAMING = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")


def load_processor(folder: Path, config: Any, tokenizer: Any, settings: ExpertSettings) -> Any:
    """The processor of the model in a folder, with a part for videos only if it can be loaded.

    `config` and `tokenizer` are those of the model, `settings` those of its expert. Raises MissingError if it needs a
    package that is not installed, ModelNotFoundError if its files cannot be read.
    """
    options = {"trust_remote_code": settings.trust_remote_code, "local_files_only": True}
    try:
        try:
            return _hf.AutoProcessor.from_pretrained(folder, **options)
        except (ImportError, ValueError) as error:
            if not _is_about_torchvision(error):
                raise
            return _for_images(_processor_class(folder, config), folder, tokenizer, options)
    except Exception as error:  # the library raises many types
        reason = f"its processor cannot be loaded: {first_line(error)}"
        if _is_about_torchvision(error):
            raise MissingError(f"{reason}: pip install torchvision, in the version for your torch") from error
        if isinstance(error, ImportError):
            raise MissingError(reason) from error
        raise ModelNotFoundError(reason) from error


def _is_about_torchvision(error: Exception) -> bool:
    return "torchvision" in str(error).lower()


def _for_images(known: type, folder: Path, tokenizer: Any, options: Mapping[str, Any]) -> Any:
    """A processor of a class of transformers, without its part for videos."""

    class ForImages(known):  # type: ignore[misc]
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            if argument_name == _VIDEO:
                return type(argument)
            return super().check_argument_for_proper_class(argument_name, argument)

    # SmolVLM's module refuses to work without this package, which writes the numbers in prompts about videos.
    module = import_module(known.__module__)
    if getattr(module, "num2words", "") is None:
        module.num2words = str  # type: ignore[attr-defined]
    parts = {
        "image_processor": _hf.AutoImageProcessor.from_pretrained(folder, **options),
        "tokenizer": tokenizer,
        _VIDEO: _NoVideos(),
    }
    settings, others = ForImages.get_processor_dict(folder, **options)
    return ForImages.from_args_and_dict([parts[name] for name in ForImages.get_attributes()], settings, **others)


def _processor_class(folder: Path, config: Any) -> type:
    """The class of the processor that the files of a model name, or else that of its model type.

    Raises LookupError if transformers has none.
    """
    auto = import_module("transformers.models.auto.processing_auto")
    names: Mapping[str, str] = auto.PROCESSOR_MAPPING_NAMES
    name = _named(folder) or names[config.model_type]
    for model_type in (type_ for type_, known in names.items() if known == name):
        found = getattr(_processing_module(auto.model_type_to_module_name(model_type)), name, None)
        if isinstance(found, type):
            return found
    raise LookupError(f"transformers has no {name}")


def _processing_module(room: str) -> Any:
    """The module of a processor. What transformers exports may be a placeholder that only asks for a package.

    Pixtral's module takes a function from that of the image processor for torchvision; the one for Pillow has it, too.
    """
    path = f"transformers.models.{room}"
    if importlib.util.find_spec(f"{path}.processing_{room}") is None:  # a type without a processor of its own
        return None
    try:
        return import_module(f"{path}.processing_{room}")
    except ModuleNotFoundError:
        sys.modules[f"{path}.image_processing_{room}"] = import_module(f"{path}.image_processing_pil_{room}")
        try:
            return import_module(f"{path}.processing_{room}")
        finally:
            del sys.modules[f"{path}.image_processing_{room}"]


def _named(folder: Path) -> str | None:
    for file in _NAMING:
        if (folder / file).is_file():
            name = json.loads((folder / file).read_text("utf-8")).get("processor_class")
            if name is not None:
                return str(name)
    return None
